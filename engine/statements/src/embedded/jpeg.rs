//! JPEG: segments before the picture. APP1 has EXIF and XMP, APP13 what Photoshop states, IIM among it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;

use super::ends::{be, take};
use super::{Blocks, Ends, photoshop};

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const EXTENDED_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";

/// A file has one; each more is looked up in the main packet and costs a search.
const EXTENSIONS_MAX: usize = 4;

/// What does not fit into one segment, in parts of a known place.
struct Extension<'a> {
    total: u64,
    parts: BTreeMap<u64, &'a [u8]>,
}

pub(super) fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    let mut found = Blocks::default();
    let mut resources = Vec::new();
    // By the digest that the main packet names.
    let mut extensions: BTreeMap<&[u8], Extension<'_>> = BTreeMap::new();
    let mut rest = ends.head.get(2..).unwrap_or_default();
    while let Some((marker, data)) = segment(&mut rest) {
        match marker {
            0xe1 if data.starts_with(XMP) => {
                found.xmp.push(Cow::Borrowed(&data[XMP.len()..]));
            }
            0xe1 if data.starts_with(EXTENDED_XMP) => {
                keep_part(&data[EXTENDED_XMP.len()..], &mut extensions);
            }
            0xe1 if data.starts_with(EXIF) && found.exif.is_none() => {
                found.exif = Some(Ends::whole(&data[EXIF.len()..]));
            }
            0xed if data.starts_with(PHOTOSHOP) => {
                resources.extend_from_slice(&data[PHOTOSHOP.len()..]);
            }
            _ => {}
        }
    }
    add_extension(&mut found, &extensions);
    let walked = ends.head.len() - rest.len();
    let at_picture = ends.head[..walked].ends_with(&[0xff, 0xda]);
    if !at_picture && (ends.head.len() as u64) < ends.size {
        found
            .remarks
            .push("what precedes the picture goes beyond the part that is read");
    }
    found.iim = photoshop::resource(&resources, photoshop::IIM).map(|iim| Cow::Owned(iim.to_vec()));
    found
}

/// The next segment's marker and data; `None` where the picture begins.
fn segment<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    loop {
        let [0xff, mut marker] = *take(rest, 2)? else {
            return None;
        };
        // Fillers before the marker.
        while marker == 0xff {
            marker = *take(rest, 1)?.first()?;
        }
        match marker {
            // Without data.
            0x01 | 0xd0..=0xd8 => {}
            0xd9 | 0xda => return None,
            _ => {
                let len = be(take(rest, 2)?) as usize;
                return Some((marker, take(rest, len.checked_sub(2)?)?));
            }
        }
    }
}

fn keep_part<'a>(data: &'a [u8], extensions: &mut BTreeMap<&'a [u8], Extension<'a>>) {
    let mut rest = data;
    let (Some(digest), Some(numbers)) = (take(&mut rest, 32), take(&mut rest, 8)) else {
        return;
    };
    let (total, offset) = (be(&numbers[..4]), be(&numbers[4..]));
    if extensions.len() == EXTENSIONS_MAX && !extensions.contains_key(digest) {
        return;
    }
    let extension = extensions.entry(digest).or_insert(Extension {
        total,
        parts: BTreeMap::new(),
    });
    extension.parts.insert(offset, rest);
}

/// Adds the extension that the main packet names, if all of it is there.
fn add_extension(found: &mut Blocks<'_>, extensions: &BTreeMap<&[u8], Extension<'_>>) {
    let Some(main) = found.xmp.first() else {
        return;
    };
    let named = extensions
        .iter()
        .find(|(digest, _)| memmem::find(main, digest).is_some());
    let Some((_, extension)) = named else {
        return;
    };
    let mut whole = Vec::new();
    for (&offset, part) in &extension.parts {
        if offset == whole.len() as u64 {
            whole.extend_from_slice(part);
        }
    }
    if whole.len() as u64 == extension.total {
        found.xmp.push(Cow::Owned(whole));
    } else {
        found
            .remarks
            .push("the extension of its XMP is not whole and is left out");
    }
}
