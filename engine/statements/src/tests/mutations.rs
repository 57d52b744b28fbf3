//! Whatever the bytes are, reading them ends, and ends within bounds.

use proptest::prelude::*;

use super::write::*;
use windlass_core::Stated;

use crate::{Ends, FINDINGS_MAX, STATEMENTS_MAX, embedded, sidecar};

fn samples() -> Vec<Vec<u8>> {
    let xmp = titled("Größe");
    let exif = vec![
        (36867, ascii("2024:05:01 10:20:30")),
        (37510, Field::Bytes(7, b"UNICODE\0\0a\0b".to_vec())),
    ];
    let gps = vec![
        (1, ascii("N")),
        (2, Field::Rationals(vec![(48, 1), (1, 2), (3, 4)])),
    ];
    let block = iim(&[(1, 90, b"\x1b%G"), (2, 25, b"one"), (2, 120, b"caption")]);
    let fields = [
        (271, ascii("Some maker")),
        (700, Field::Bytes(1, xmp.clone())),
        (33723, Field::Bytes(7, block.clone())),
        (34665, Field::Below(exif)),
        (34853, Field::Below(gps)),
    ];
    let (little, big) = (tiff(false, 0, &fields), tiff(true, 9, &fields));
    vec![
        jpeg(Some(&xmp), Some(&big), Some(&block)),
        jpeg_extended(&xmp, b"0123456789ABCDEF0123456789ABCDEF", &xmp),
        png(Some(&xmp), Some(&little), 10),
        webp(Some(&xmp), Some(&little), 11),
        psd(&[(1028, &block), (1058, &big), (1060, &xmp)]),
        pdf(&[xmp.clone(), xmp.clone()]),
        little,
        big,
        xmp,
    ]
}

fn check(stated: &Stated) {
    assert!(stated.statements.len() <= STATEMENTS_MAX);
    assert!(stated.findings.len() <= FINDINGS_MAX + 1);
}

fn read(file: &[u8], split: usize) {
    check(&embedded("a file", &Ends::whole(file)));
    check(&sidecar("a.xmp", file));
    // The middle of it was not read.
    let (head, tail) = (
        &file[..split.min(file.len())],
        &file[file.len() - split.min(file.len())..],
    );
    check(&embedded(
        "a file",
        &Ends {
            head,
            tail,
            size: file.len() as u64,
        },
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read_to_an_end(start in 0..9_usize, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes, 100);
        let sample = &samples()[start];
        read(&[&sample[..12], &bytes].concat(), 100);
    }

    #[test]
    fn changed_files_are_read_to_an_end(
        sample in 0..9_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0_u8, 1, 0x1c, 0x7f, 0x80, 0xff, b'<', b'&', b'"'])), 1..8),
        cut in any::<prop::sample::Index>(),
        split in 0..600_usize,
    ) {
        let mut file = samples().swap_remove(sample);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        read(&file, split);
        file.truncate(cut.index(file.len()));
        read(&file, split);
    }

    #[test]
    fn text_is_only_repaired_to_what_it_is_the_encoding_of(text in "\\PC{0,12}") {
        if let Some(meant) = crate::twice::undone(&text) {
            prop_assert!(meant.chars().count() < text.chars().count());
        }
    }
}
