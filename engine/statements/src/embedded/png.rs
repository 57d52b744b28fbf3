//! PNG: chunks before the picture, and after it.

use std::borrow::Cow;

use memchr::memmem;

use super::ends::{be, take};
use super::{Blocks, Ends};

const XMP: &[u8] = b"XML:com.adobe.xmp\0";

pub(super) fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    let mut found = Blocks::default();
    let mut rest = ends.head.get(8..).unwrap_or_default();
    while let Some((kind, data)) = chunk(&mut rest) {
        take_chunk(kind, data, &mut found);
    }
    // Chunks cannot be walked from behind, so those that matter are looked for by name.
    for name in [b"iTXt".as_slice(), b"eXIf"] {
        for at in memmem::find_iter(ends.tail, name) {
            let mut rest = &ends.tail[at.saturating_sub(4)..];
            if let Some((kind, data)) = chunk(&mut rest) {
                take_chunk(kind, data, &mut found);
            }
        }
    }
    found
}

/// The next chunk that is whole: its name and data.
fn chunk<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let len = be(take(rest, 4)?) as usize;
    let kind = take(rest, 4)?;
    let data = take(rest, len)?;
    let _checksum = take(rest, 4)?;
    Some((kind, data))
}

fn take_chunk<'a>(kind: &[u8], data: &'a [u8], found: &mut Blocks<'a>) {
    match kind {
        b"eXIf" if found.exif.is_none() => found.exif = Some(Ends::whole(data)),
        b"iTXt" if data.starts_with(XMP) && found.xmp.is_empty() => {
            match text(&data[XMP.len()..]) {
                Some(packet) => found.xmp.push(Cow::Borrowed(packet)),
                None => found
                    .remarks
                    .push("its XMP is compressed, which the XMP standard forbids, and is left out"),
            }
        }
        _ => {}
    }
}

/// What follows compression, language and translated keyword; `None` if it is compressed.
fn text(mut data: &[u8]) -> Option<&[u8]> {
    let compressed = *take(&mut data, 2)?.first()? != 0;
    for _ in 0..2 {
        let end = memchr::memchr(0, data)?;
        take(&mut data, end + 1)?;
    }
    (!compressed).then_some(data)
}
