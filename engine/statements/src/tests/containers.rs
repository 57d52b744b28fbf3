//! Where each container keeps its metadata, and that text comes out as it went in.

use super::write::*;
use super::{list, messages, stated, text, value};
use crate::{END_BYTES, Ends, embedded};

/// Larger than what is read at one end.
const GAP: usize = 3 * END_BYTES as usize;

/// One packet in each container, near and far from the beginning where the format allows it.
fn containers(xmp: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let field = |xmp: &[u8]| [(700, Field::Bytes(1, xmp.to_vec()))];
    let mp4 = [
        b"\0\0\0\x18ftypmp42\0\0\0\0",
        &vec![7; GAP][..],
        b"uuid",
        xmp,
    ];
    vec![
        ("jpeg", jpeg(Some(xmp), None, None)),
        ("tiff, little-endian", tiff(false, 0, &field(xmp))),
        ("tiff, big-endian", tiff(true, 0, &field(xmp))),
        ("tiff, behind the picture", tiff(false, GAP, &field(xmp))),
        ("png", png(Some(xmp), None, 100)),
        ("png, behind the picture", png(Some(xmp), None, GAP)),
        ("psd", psd(&[(1005, &[1; 7]), (1060, xmp)])),
        ("webp", webp(Some(xmp), None, 100)),
        ("webp, behind the picture", webp(Some(xmp), None, GAP + 1)),
        ("pdf", pdf(&[xmp.to_vec()])),
        ("mp4", mp4.concat()),
        (
            "indd",
            [b"\x06\x06\xed\xf5", &vec![7; 500][..], xmp].concat(),
        ),
    ]
}

#[test]
fn text_of_every_script_comes_out_of_every_container_as_it_went_in() {
    for script in SCRIPTS {
        for (container, file) in containers(&titled(script)) {
            let stated = stated(&file);
            assert_eq!(messages(&stated), [""; 0], "{container}");
            assert_eq!(
                value(&stated, "dc:title"),
                Some(&text(script)),
                "{container}"
            );
            let subject = value(&stated, "dc:subject");
            assert_eq!(subject, Some(&list(&[script, "second"])), "{container}");
        }
    }
}

#[test]
fn exif_and_iim_are_found_in_the_containers_that_have_them() {
    let camera = tiff(true, 0, &[(271, ascii("Käufer"))]);
    let city = iim(&[(1, 90, b"\x1b%G"), (2, 90, "東京".as_bytes())]);
    let tagged = |tag, data: &[u8]| {
        let fields = [
            (271, ascii("Käufer")),
            (tag, Field::Bytes(7, data.to_vec())),
        ];
        tiff(false, GAP, &fields)
    };
    let files = [
        jpeg(None, Some(&camera), Some(&city)),
        psd(&[(1058, &camera), (1028, &city)]),
        tagged(33723, &city),
        tagged(34377, &resources(&[(1028, &city)])),
    ];
    for file in files {
        let stated = stated(&file);
        assert_eq!(messages(&stated), [""; 0]);
        assert_eq!(value(&stated, "tiff:Make"), Some(&text("Käufer")));
        assert_eq!(value(&stated, "iptc:City"), Some(&text("東京")));
    }
    for file in [
        png(None, Some(&camera), 0),
        png(None, Some(&camera), GAP),
        webp(None, Some(&camera), GAP),
        webp(None, Some(&[b"Exif\0\0", &camera[..]].concat()), 3),
    ] {
        assert_eq!(value(&stated(&file), "tiff:Make"), Some(&text("Käufer")));
    }
}

#[test]
fn an_extended_packet_is_taken_if_the_main_one_names_it_and_it_is_whole() {
    let digest = b"0123456789ABCDEF0123456789ABCDEF";
    let main = packet(
        "other:HasExtendedXMP=\"0123456789ABCDEF0123456789ABCDEF\" xmp:Rating=\"4\"",
        "",
    );
    let file = jpeg_extended(&main, digest, &titled("long"));
    assert_eq!(value(&stated(&file), "dc:title"), Some(&text("long")));

    let unnamed = jpeg_extended(&packet("", ""), digest, &titled("long"));
    assert_eq!(value(&stated(&unnamed), "dc:title"), None);

    let marker = b"http://ns.adobe.com/xmp/extension/\0";
    let last = memchr::memmem::rfind(&file, marker).unwrap() - 4;
    let cut = stated(&file[..last]);
    assert_eq!(
        value(&cut, "xmp:Rating"),
        Some(&windlass_core::Value::Number(4))
    );
    assert_eq!(
        messages(&cut),
        ["the extension of its XMP is not whole and is left out"]
    );
}

#[test]
fn of_the_packets_of_a_pdf_the_last_one_of_the_document_counts() {
    let document = |title: &str| packet(&format!("pdf:Keywords=\"{title}\""), "");
    let placed = String::from_utf8(titled("a placed picture")).unwrap();
    let placed = placed.replace("http://ns.adobe.com/pdf/1.3/", "http://example.com/pdf");
    let file = pdf(&[document("old"), document("new"), placed.into_bytes()]);
    let stated = stated(&file);
    assert_eq!(value(&stated, "pdf:Keywords"), Some(&text("new")));
    assert_eq!(value(&stated, "dc:title"), None);
}

#[test]
fn of_the_packets_of_an_eps_the_first_one_counts() {
    let file = [
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        &titled("own")[..],
        &titled("placed"),
    ]
    .concat();
    assert_eq!(value(&stated(&file), "dc:title"), Some(&text("own")));
}

#[test]
fn what_lies_out_of_reach_is_said_and_not_guessed() {
    let xmp = titled("unseen");
    let middle = |mut file: Vec<u8>| {
        file.resize(file.len() + GAP, 0);
        file
    };
    let files = [
        middle(tiff(false, GAP, &[(700, Field::Bytes(1, xmp.clone()))])),
        middle(webp(Some(&xmp), None, GAP)),
        psd(&[(1005, &vec![0; GAP]), (1060, &xmp)]),
        [
            b"\xff\xd8".to_vec(),
            b"\xff\xe2\xff\xff"
                .iter()
                .copied()
                .chain(vec![0; 0xfffd])
                .collect::<Vec<u8>>()
                .repeat(40),
            jpeg(Some(&xmp), None, None)[2..].to_vec(),
        ]
        .concat(),
        [
            b"%PDF-1.4",
            &vec![b' '; END_BYTES as usize - 100][..],
            &xmp,
            &vec![0; GAP],
        ]
        .concat(),
    ];
    for file in files {
        let stated = stated(&file);
        assert_eq!(stated.statements, []);
        assert_eq!(messages(&stated).len(), 1);
        assert!(messages(&stated)[0].contains("beyond the part"));
    }
}

#[test]
fn a_packet_in_utf_16_is_reported_and_not_misread() {
    let wide: Vec<u8> = String::from_utf8(titled("wide"))
        .unwrap()
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    for file in [
        [b"GIF89a", &wide[..]].concat(),
        jpeg(Some(&wide), None, None),
    ] {
        let stated = stated(&file);
        assert_eq!(stated.statements, []);
        assert!(messages(&stated)[0].contains("UTF-16"));
    }
}

#[test]
fn ends_that_contradict_the_size_are_no_harm() {
    let file = tiff(false, 50, &[(271, ascii("Maker"))]);
    for size in [0, 1, 40, u64::MAX] {
        for (head, tail) in [
            (&file[..], &file[..]),
            (&file[..8], &file[60..]),
            (&[], &[]),
        ] {
            embedded("a file", &Ends { head, tail, size });
        }
    }
}
