use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn bytes(file: &AgencyFile) -> Vec<u8> {
    let mut all = Vec::new();
    file.write(&mut |piece| {
        assert!(piece.len() <= 1 << 20, "pieces are small");
        all.extend_from_slice(&piece);
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{}: {error}", file.path));
    all
}

fn small() -> Vec<AgencyFile> {
    plan(AgencySize::Small, 1)
}

/// One file of a kind with its bytes.
fn one(kind: FileKind) -> (AgencyFile, Vec<u8>) {
    let file = small()
        .into_iter()
        .find(|file| file.kind == kind)
        .expect("the tree has one");
    let bytes = bytes(&file);
    (file, bytes)
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

fn be32(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

#[test]
fn every_file_has_exactly_its_planned_size() {
    for file in small() {
        assert_eq!(bytes(&file).len() as u64, file.bytes, "{}", file.path);
    }
}

#[test]
fn the_trees_have_the_stated_sizes() {
    let demo = plan(AgencySize::Demo, 1);
    let total: u64 = demo.iter().map(|file| file.bytes).sum();
    assert!((300..=450).contains(&demo.len()), "{} files", demo.len());
    assert!((1_076..=1_330).contains(&(total >> 20)), "{total} bytes");
    let large = |mib: u64| demo.iter().filter(|file| file.bytes > mib << 20).count();
    assert_eq!((large(256), large(64)), (1, 4));
    let small = small();
    let total: u64 = small.iter().map(|file| file.bytes).sum();
    assert!((40..=60).contains(&small.len()), "{} files", small.len());
    assert!(total <= 12 << 20, "{total} bytes");
}

#[test]
fn paths_are_unique_also_where_case_does_not_count() {
    for size in [AgencySize::Demo, AgencySize::Small] {
        let tree = plan(size, 7);
        let keys: BTreeSet<String> = tree
            .iter()
            .map(|file| windlass_core::fold_key(&file.path))
            .collect();
        assert_eq!(keys.len(), tree.len());
        let longest = tree
            .iter()
            .flat_map(|file| file.path.split('/'))
            .map(|s| s.encode_utf16().count());
        assert_eq!(longest.max(), Some(255));
    }
}

#[test]
fn a_seed_gives_the_same_bytes_in_any_order_and_another_seed_gives_others() {
    let digest = |file: &AgencyFile| windlass_core::Blake3::of(&bytes(file));
    let forward: BTreeMap<String, _> = small()
        .iter()
        .map(|file| (file.path.clone(), digest(file)))
        .collect();
    let backward: BTreeMap<String, _> = small()
        .iter()
        .rev()
        .map(|file| (file.path.clone(), digest(file)))
        .collect();
    assert_eq!(forward, backward);
    let other: BTreeSet<_> = plan(AgencySize::Small, 2)
        .iter()
        .filter(|file| file.bytes > 0 && file.seed != 4_711)
        .map(digest)
        .collect();
    assert!(forward.values().all(|digest| !other.contains(digest)));
    let copies: BTreeSet<_> = forward
        .iter()
        .filter(|(path, _)| path.contains("/Copies/"))
        .map(|(_, digest)| digest)
        .collect();
    assert_eq!(copies.len(), 1, "duplicates are duplicates");
}

#[test]
fn pictures_decode_and_carry_xmp() {
    for kind in [FileKind::Png, FileKind::Jpeg, FileKind::Tiff] {
        let (file, bytes) = one(kind);
        let picture =
            image::load_from_memory(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.path));
        assert!(picture.width() >= 90, "{}", file.path);
        assert!(holds(&bytes, "<dc:title>"), "{}", file.path);
    }
    assert!(holds(&one(FileKind::Jpeg).1, "Exif\0\0"));
    assert!(holds(&one(FileKind::Png).1, "eXIf"));
}

#[test]
fn a_document_names_its_cross_references_where_they_are() {
    let (_, bytes) = one(FileKind::Pdf);
    assert!(bytes.starts_with(b"%PDF-1.7"));
    assert!(holds(&bytes, "<dc:title>"));
    let text = String::from_utf8_lossy(&bytes);
    let stated = text
        .rsplit("startxref")
        .next()
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let at: usize = stated.parse().unwrap();
    assert!(bytes[at..].starts_with(b"xref"), "at {at}");
}

#[test]
fn a_layered_file_has_its_resources_in_order() {
    let (_, bytes) = one(FileKind::Psd);
    assert!(bytes.starts_with(b"8BPS\0\x01"));
    assert_eq!(be32(&bytes, 26), 0, "no colour table");
    let end = 34 + be32(&bytes, 30);
    let mut at = 34;
    let mut ids = Vec::new();
    while at < end {
        assert_eq!(&bytes[at..at + 4], b"8BIM");
        ids.push(u16::from_be_bytes([bytes[at + 4], bytes[at + 5]]));
        let length = be32(&bytes, at + 8);
        at += 12 + length + length % 2;
    }
    assert_eq!((at, ids), (end, vec![1_060, 4_000]));
    assert_eq!(be32(&bytes, end), 0, "no layers");
}

#[test]
fn a_films_sample_table_points_at_frames() {
    let (_, bytes) = one(FileKind::Mp4);
    let boxes = walk(&bytes, 0, bytes.len());
    let names: Vec<_> = boxes.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, ["ftyp", "uuid", "moov", "mdat", "free"]);
    assert!(holds(&bytes[..64 << 10], "<dc:title>"));
    let find = |path: &[&str]| {
        path.iter().fold((0, bytes.len()), |(start, end), name| {
            let inner = walk(&bytes, start, end);
            let (_, start, end) = inner
                .iter()
                .find(|(n, _, _)| n == name)
                .expect("the box is there");
            (*start, *end)
        })
    };
    let table = ["moov", "trak", "mdia", "minf", "stbl"];
    let (stsz, _) = find(&[&table[..], &["stsz"]].concat());
    let (stco, _) = find(&[&table[..], &["stco"]].concat());
    let (frame, count) = (be32(&bytes, stsz + 4), be32(&bytes, stsz + 8));
    let first = be32(&bytes, stco + 8);
    assert!(count >= 1);
    for index in 0..count {
        let start = first + index * frame;
        assert!(
            bytes[start..].starts_with(&[0xFF, 0xD8]),
            "frame {index} begins"
        );
        assert!(
            bytes[..start + frame].ends_with(&[0xFF, 0xD9]),
            "frame {index} ends"
        );
        image::load_from_memory(&bytes[start..start + frame]).expect("a frame decodes");
    }
}

/// The boxes between two offsets: name, start of content, end.
fn walk(bytes: &[u8], mut at: usize, end: usize) -> Vec<(String, usize, usize)> {
    let mut boxes = Vec::new();
    while at < end {
        let size = be32(bytes, at);
        assert!(size >= 8 && at + size <= end, "a box fits");
        let name = String::from_utf8_lossy(&bytes[at + 4..at + 8]).into_owned();
        boxes.push((name, at + 8, at + size));
        at += size;
    }
    boxes
}
