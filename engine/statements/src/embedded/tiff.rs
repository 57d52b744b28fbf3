//! TIFF and the raw formats built like it: directories of entries that may lie anywhere in the file. EXIF has the
//! same structure. One reader serves both, because no library reads a file of which only the ends are here.

use std::borrow::Cow;

use super::ends::{be, le};
use super::{Blocks, Ends, photoshop};

const XMP: u16 = 700;
const IIM: u16 = 33723;
const RESOURCES: u16 = 34377;

/// The most entries of a directory that are looked at. Files have some dozens.
const ENTRIES_MAX: u64 = 1024;

/// A TIFF structure.
#[derive(Debug)]
pub(super) struct Tiff<'a> {
    ends: Ends<'a>,
    pub(super) big_endian: bool,
    /// BigTIFF: offsets and counts of eight bytes.
    big: bool,
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) tag: u16,
    pub(super) kind: u16,
    /// `None` if it was not read.
    pub(super) data: Option<&'a [u8]>,
}

pub(super) fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    let mut found = Blocks {
        exif: Some(*ends),
        ..Blocks::default()
    };
    let Some((_, entries)) = Tiff::open(ends) else {
        // That the directory is not here is said on reading EXIF.
        return found;
    };
    let unread = entries
        .iter()
        .any(|entry| matches!(entry.tag, XMP | IIM | RESOURCES) && entry.data.is_none());
    if unread {
        found
            .remarks
            .push("some of its XMP or IPTC lies beyond the parts that are read");
    }
    found.xmp.extend(data(&entries, XMP).map(Cow::Borrowed));
    let resources = || photoshop::resource(data(&entries, RESOURCES)?, photoshop::IIM);
    found.iim = data(&entries, IIM).or_else(resources).map(Cow::Borrowed);
    found
}

fn data<'a>(entries: &[Entry<'a>], tag: u16) -> Option<&'a [u8]> {
    entries.iter().find(|entry| entry.tag == tag)?.data
}

impl<'a> Tiff<'a> {
    /// Reads the header and the first directory; `None` if either is not here.
    pub(super) fn open(ends: &Ends<'a>) -> Option<(Self, Vec<Entry<'a>>)> {
        let header = ends.at(0, 8)?;
        let mut tiff = Tiff {
            ends: *ends,
            big_endian: header[0] == b'M',
            big: false,
        };
        tiff.big = match tiff.number(&header[2..4]) {
            42 => false,
            43 => true,
            _ => return None,
        };
        let at = if tiff.big {
            ends.at(8, 8)?
        } else {
            &header[4..]
        };
        let entries = tiff.directory(tiff.number(at))?;
        Some((tiff, entries))
    }

    /// The entries of a directory; `None` if it is not here.
    pub(super) fn directory(&self, offset: u64) -> Option<Vec<Entry<'a>>> {
        let (count_len, entry_len) = if self.big { (8, 20) } else { (2, 12) };
        let count = self
            .number(self.ends.at(offset, count_len)?)
            .min(ENTRIES_MAX);
        let start = offset.checked_add(count_len)?;
        let bytes = self.ends.at(start, count * entry_len)?;
        let entries = bytes.chunks_exact(entry_len as usize);
        Some(entries.map(|entry| self.entry(entry)).collect())
    }

    fn entry(&self, bytes: &'a [u8]) -> Entry<'a> {
        let kind = self.number(&bytes[2..4]) as u16;
        let (count, value) = bytes[4..].split_at((bytes.len() - 4) / 2);
        let len = self.number(count).checked_mul(unit_bytes(kind));
        let data = len.and_then(|len| match value.get(..len as usize) {
            Some(inline) => Some(inline),
            None => self.ends.at(self.number(value), len),
        });
        Entry {
            tag: self.number(&bytes[..2]) as u16,
            kind,
            data,
        }
    }

    /// A number in the structure's byte order.
    pub(super) fn number(&self, bytes: &[u8]) -> u64 {
        if self.big_endian {
            be(bytes)
        } else {
            le(bytes)
        }
    }
}

/// How long one value of a type is.
fn unit_bytes(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}
