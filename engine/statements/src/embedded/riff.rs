//! WebP: RIFF chunks. What states something comes after the picture.

use std::borrow::Cow;

use super::ends::le;
use super::{Blocks, Ends};

/// A picture has a dozen chunks, an animation one a frame.
const CHUNKS_MAX: usize = 4096;

pub(super) fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    let mut found = Blocks::default();
    let mut offset = 12;
    for _ in 0..CHUNKS_MAX {
        if offset >= ends.size {
            return found;
        }
        let Some((kind, len)) = header(ends, offset) else {
            break;
        };
        let data = ends.at(offset + 8, len);
        match (kind, data) {
            (b"XMP ", Some(data)) => found.xmp.push(Cow::Borrowed(data)),
            // Some writers keep the prefix that EXIF has in JPEG.
            (b"EXIF", Some(data)) => {
                let data = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
                found.exif = Some(Ends::whole(data));
            }
            (b"XMP " | b"EXIF", None) => break,
            _ => {}
        }
        offset += 8 + len + len % 2;
    }
    found
        .remarks
        .push("some of its chunks lie beyond the parts that are read");
    found
}

fn header<'a>(ends: &Ends<'a>, offset: u64) -> Option<(&'a [u8], u64)> {
    let header = ends.at(offset, 8)?;
    Some((&header[..4], le(&header[4..])))
}
