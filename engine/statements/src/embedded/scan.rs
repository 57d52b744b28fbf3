//! Every other file: XMP packets are looked for by the marks that their standard puts around them, so that they
//! are found in files of any format: PDF, Illustrator, InDesign, EPS, MP4, QuickTime, HEIC, GIF.

use std::borrow::Cow;

use memchr::memmem;

use super::{Blocks, Ends};

/// A packet's beginning and end, and the same without wrapper.
const MARKS: [(&[u8], &[u8]); 2] = [
    (b"<?xpacket begin=", b"<?xpacket end="),
    (b"<x:xmpmeta", b"</x:xmpmeta"),
];

/// What only the packet of a PDF document has, and not those of the pictures placed in it.
const PDF_NAMESPACE: &[u8] = b"http://ns.adobe.com/pdf/1.3/";

/// What was found in one end of the file.
#[derive(Default)]
struct Found<'a> {
    packets: Vec<&'a [u8]>,
    /// A packet began and did not end.
    cut: bool,
}

pub(super) fn blocks<'a>(ends: &Ends<'a>) -> Blocks<'a> {
    let mut blocks = Blocks::default();
    for marks in MARKS {
        let head = packets(ends.head, marks);
        let tail = packets(ends.tail, marks);
        let cut = head.cut || tail.cut;
        let all: Vec<&[u8]> = head.packets.into_iter().chain(tail.packets).collect();
        if let Some(packet) = chosen(ends.head, &all) {
            blocks.xmp.push(Cow::Borrowed(packet));
            return blocks;
        }
        if cut {
            blocks
                .remarks
                .push("its XMP begins or ends beyond the parts that are read and is left out");
            return blocks;
        }
    }
    if [ends.head, ends.tail].into_iter().any(has_wide_packet) {
        blocks
            .remarks
            .push("its XMP is in UTF-16, which is not read");
    }
    blocks
}

/// Each end belongs to the last beginning before it.
fn packets<'a>(area: &'a [u8], (begin, end): (&[u8], &[u8])) -> Found<'a> {
    let mut found = Found::default();
    let mut rest = area;
    while let Some(at) = memmem::find(rest, end) {
        // To the end of the closing tag or instruction.
        let close = memchr::memchr(b'>', &rest[at..]).map(|len| at + len + 1);
        let (before, after) = rest.split_at(close.unwrap_or(at + end.len()));
        match memmem::rfind(before, begin) {
            Some(start) => found.packets.push(&before[start..]),
            None => found.cut = true,
        }
        rest = after;
    }
    found.cut |= memmem::find(rest, begin).is_some();
    found
}

/// The one that speaks of the file itself.
fn chosen<'a>(head: &[u8], all: &[&'a [u8]]) -> Option<&'a [u8]> {
    match head {
        // What comes later are placed pictures.
        [b'%', b'!', b'P', b'S', ..] => all.first().copied(),
        // An update is appended, and its packet stands for the earlier ones.
        [b'%', b'P', b'D', b'F', ..] => {
            let of_document = |packet: &&&[u8]| memmem::find(packet, PDF_NAMESPACE).is_some();
            all.iter().rev().find(of_document).or(all.last()).copied()
        }
        _ => all.last().copied(),
    }
}

fn has_wide_packet(area: &[u8]) -> bool {
    // Both byte orders have this in them.
    let wide: Vec<u8> = b"?xpacket begin".iter().flat_map(|&c| [c, 0]).collect();
    memmem::find(area, &wide[..wide.len() - 1]).is_some()
}
