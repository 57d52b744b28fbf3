//! Photoshop's image resources: in PSD and PSB files, and within JPEG and TIFF.

use std::borrow::Cow;

use super::ends::{be, take};
use super::{Blocks, Ends};

pub(super) const IIM: u16 = 1028;
const EXIF: u16 = 1058;
const XMP: u16 = 1060;

/// Signature, version, dimensions: what stands before the colour table.
const HEADER_BYTES: u64 = 26;

pub(super) fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    let mut found = Blocks::default();
    let Some((all, whole)) = resources(ends) else {
        found
            .remarks
            .push("its image resources begin beyond the part that is read");
        return found;
    };
    found.xmp.extend(resource(all, XMP).map(Cow::Borrowed));
    found.iim = resource(all, IIM).map(Cow::Borrowed);
    found.exif = resource(all, EXIF).map(Ends::whole);
    if !whole && found.xmp.is_empty() {
        found
            .remarks
            .push("its image resources go beyond the part that is read, and its XMP with them");
    }
    found
}

/// The image resources, and whether all of them were read.
fn resources<'a>(ends: &Ends<'a>) -> Option<(&'a [u8], bool)> {
    let colours = be(ends.at(HEADER_BYTES, 4)?);
    let start = HEADER_BYTES + 4 + colours;
    let len = be(ends.at(start, 4)?);
    if let Some(whole) = ends.at(start + 4, len) {
        return Some((whole, true));
    }
    let start = usize::try_from(start + 4).ok()?;
    Some((ends.head.get(start..)?, false))
}

/// The first resource of a number.
pub(super) fn resource(mut all: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let signature = take(&mut all, 4)?;
        if ![b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"].contains(&signature.first_chunk()?) {
            return None;
        }
        let number = be(take(&mut all, 2)?);
        // Name and data are each padded to an even length; the name's length byte counts.
        let name_len = usize::from(*take(&mut all, 1)?.first()?);
        take(&mut all, name_len | 1)?;
        let len = be(take(&mut all, 4)?) as usize;
        let data = take(&mut all, len)?;
        if number == u64::from(wanted) {
            return Some(data);
        }
        take(&mut all, len % 2)?;
    }
}
