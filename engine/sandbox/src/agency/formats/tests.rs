use super::super::pieces::{Piece, Stream};
use super::super::xmp::{Said, exif};
use super::*;

type Make = fn(u64, &Said) -> io::Result<Vec<Piece>>;

/// Every format, with a size that is comfortably above what its fixed parts need.
const FORMATS: [(&str, u64, Make); 6] = [
    ("PNG", 20_000, |size, said| png::pieces(size, 5, said)),
    ("JPEG", 20_000, |size, said| jpeg::pieces(size, 5, said)),
    ("TIFF", 20_000, tiff::pieces),
    ("PDF", 20_000, |size, said| pdf::pieces(size, 5, said)),
    ("MP4", 900_000, |size, said| mp4::pieces(size, 5, said)),
    ("PSD", 60_000, |size, said| psd::pieces(size, 5, said)),
];

fn said() -> Said {
    Said {
        title: "Käse & <夏> 🚀".to_owned(),
        creator: "Studio North".to_owned(),
        rights: "Usage as agreed".to_owned(),
    }
}

fn written(pieces: &[Piece]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut out = |piece: bytes::Bytes| {
        all.extend_from_slice(&piece);
        Ok(())
    };
    let mut stream = Stream::new(5, &mut out);
    stream.write(pieces).unwrap();
    stream.finish().unwrap();
    all
}

fn le(bytes: &[u8], at: usize, length: usize) -> usize {
    let digits = bytes[at..at + length].iter().rev();
    digits.fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// The entries of a little-endian TIFF directory at offset 8: tag, type, count, value or offset.
fn directory(bytes: &[u8]) -> Vec<(usize, usize, usize, usize)> {
    (0..le(bytes, 8, 2))
        .map(|index| 10 + index * 12)
        .map(|at| {
            let field = |offset, length| le(bytes, at + offset, length);
            (field(0, 2), field(2, 2), field(4, 4), field(8, 4))
        })
        .collect()
}

/// Directories are sorted by tag, and what they point at is within the file at an even offset.
fn assert_sound(bytes: &[u8]) {
    let entries = directory(bytes);
    assert!(entries.is_sorted_by(|a, b| a.0 < b.0), "{entries:?}");
    for (tag, kind, count, value) in entries {
        let unit = [0, 1, 1, 2, 4, 8][kind];
        if unit * count > 4 {
            assert_eq!(value % 2, 0, "tag {tag}");
            assert!(value + unit * count <= bytes.len(), "tag {tag}");
        }
    }
}

#[test]
fn every_size_is_met_to_the_byte_whatever_its_remainder() {
    for (name, base, make) in FORMATS {
        for size in (base..base + 40).chain([base + 65_535, base + 65_536, base + 65_540]) {
            let bytes = written(&make(size, &said()).unwrap());
            assert_eq!(bytes.len() as u64, size, "{name}");
        }
    }
}

#[test]
fn a_document_settles_where_its_noise_gains_a_digit() {
    for size in 10_500..12_500 {
        let pieces = pdf::pieces(size, 5, &said()).unwrap();
        assert_eq!(super::super::pieces::total(&pieces), size);
    }
}

#[test]
fn a_size_below_what_a_format_needs_is_refused() {
    for (name, _, make) in FORMATS {
        for size in [0, 1, 100] {
            let refused = make(size, &said());
            let why = refused.err().map(|error| error.to_string());
            assert!(
                why.is_some_and(|why| why.contains("is below the")),
                "{name} of {size} bytes"
            );
        }
    }
}

#[test]
fn every_format_carries_title_creator_and_rights_as_xmp() {
    for (name, size, make) in FORMATS {
        let bytes = written(&make(size, &said()).unwrap());
        for part in [
            "<rdf:li xml:lang=\"x-default\">Käse &amp; &lt;夏&gt; 🚀</rdf:li>",
            "<dc:creator><rdf:Seq><rdf:li>Studio North</rdf:li>",
            "<xmpRights:Marked>True</xmpRights:Marked>",
        ] {
            let found = bytes.windows(part.len()).any(|at| at == part.as_bytes());
            assert!(found, "{name}: {part}");
        }
    }
}

#[test]
fn directories_of_exif_and_tiff_are_in_order_and_aligned() {
    assert_sound(&exif());
    let bytes = written(&tiff::pieces(20_001, &said()).unwrap());
    assert_sound(&bytes);
    let entries = directory(&bytes);
    let value = |tag| entries.iter().find(|entry| entry.0 == tag).unwrap();
    let (_, _, length, at) = *value(700);
    assert!(bytes[at..at + length].starts_with(b"<?xpacket begin"));
    assert!(bytes[at..at + length].ends_with(b"<?xpacket end=\"r\"?>"));
    let (strip, strip_bytes) = (value(273).3, value(279).3);
    assert_eq!(strip % 2, 0);
    assert!(strip + strip_bytes <= bytes.len());
    assert_eq!(strip_bytes, value(256).3 * value(257).3 * 3);
}

#[test]
fn chunks_of_a_png_have_right_checksums() {
    let bytes = written(&png::pieces(20_000, 5, &said()).unwrap());
    let (mut at, mut names) = (8, Vec::new());
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let stated = u32::from_be_bytes(bytes[at + 8 + length..][..4].try_into().unwrap());
        assert_eq!(crc32fast::hash(&bytes[at + 4..at + 8 + length]), stated);
        names.push(String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned());
        at += length + 12;
    }
    assert_eq!(names.first().map(String::as_str), Some("IHDR"));
    assert_eq!(names.last().map(String::as_str), Some("IEND"));
    for name in ["iTXt", "eXIf", "noIz"] {
        assert!(names.iter().any(|found| found == name), "{name}");
    }
}
