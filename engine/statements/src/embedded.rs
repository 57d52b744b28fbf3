//! What a file states about itself: XMP, EXIF and IPTC-IIM.
//!
//! Each container says where its blocks are; [`xmp`], [`exif`] and [`iim`] read them. XMP goes first, because it
//! says in which encoding its text is. What it states is not taken from the other two again.

use std::borrow::Cow;

use windlass_core::{Origin, Stated};

use crate::stated::Collector;

mod ends;
mod exif;
mod iim;
mod jpeg;
mod photoshop;
mod png;
mod riff;
mod scan;
mod tiff;
mod xmp;

pub use ends::{END_BYTES, Ends};
pub(crate) use xmp::character;

/// The blocks of a file that state something.
#[derive(Debug, Default)]
struct Blocks<'a> {
    /// XMP packets, the one that stands first.
    xmp: Vec<Cow<'a, [u8]>>,
    iim: Option<Cow<'a, [u8]>>,
    /// A TIFF structure; of a TIFF file it is the file.
    exif: Option<Ends<'a>>,
    /// Why something could not be reached.
    remarks: Vec<&'static str>,
}

/// What a file states about itself. `subject` is its path, for the findings.
pub fn embedded(subject: &str, ends: &Ends<'_>) -> Stated {
    let mut into = Collector::new(subject, Origin::Embedded);
    let blocks = blocks(ends);
    for remark in blocks.remarks {
        into.remark(remark);
    }
    for packet in &blocks.xmp {
        xmp::read(packet, &mut into);
    }
    if let Some(exif) = &blocks.exif {
        exif::read(exif, &mut into);
    }
    if let Some(iim) = &blocks.iim {
        iim::read(iim, &mut into);
    }
    into.finish()
}

/// What an XMP file beside an asset states, by the same names. `subject` is its path.
pub fn sidecar(subject: &str, xmp: &[u8]) -> Stated {
    let mut into = Collector::new(subject, Origin::Sidecar);
    xmp::read(xmp, &mut into);
    into.finish()
}

fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    match ends.head {
        [0xff, 0xd8, ..] => jpeg::blocks(ends),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => tiff::blocks(ends),
        [0x89, b'P', b'N', b'G', ..] => png::blocks(ends),
        [b'8', b'B', b'P', b'S', ..] => photoshop::blocks(ends),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => riff::blocks(ends),
        _ => scan::blocks(ends),
    }
}
