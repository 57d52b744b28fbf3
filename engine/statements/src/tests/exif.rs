use windlass_core::{Stated, Value};

use super::write::*;
use super::{messages, stated, text, value};

fn of_camera(big_endian: bool, fields: &[(u16, Field)]) -> Stated {
    stated(&jpeg(None, Some(&tiff(big_endian, 0, fields)), None))
}

#[test]
fn the_chosen_entries_are_stated_in_both_byte_orders() {
    for big_endian in [false, true] {
        let exif = vec![
            (36867, ascii("2024:05:01 10:20:30")),
            (36881, ascii("+02:00")),
            (40962, Field::Short(6000)),
        ];
        let gps = vec![
            (1, ascii("S")),
            (2, Field::Rationals(vec![(33, 1), (30, 1), (0, 1)])),
            (3, ascii("E")),
            (4, Field::Rationals(vec![(151, 1), (0, 1), (900, 1)])),
        ];
        let fields = [
            (271, Field::Bytes(2, b"Maker  \0garbage".to_vec())),
            (274, Field::Short(6)),
            (33432, Field::Bytes(2, b" \0Editor\0".to_vec())),
            (34665, Field::Below(exif)),
            (34853, Field::Below(gps)),
        ];
        let stated = of_camera(big_endian, &fields);
        assert_eq!(messages(&stated), [""; 0]);
        let expected = [
            ("tiff:Make", text("Maker")),
            ("tiff:Orientation", Value::Number(6)),
            ("tiff:Copyright", text("Editor")),
            ("exif:DateTimeOriginal", text("2024:05:01 10:20:30")),
            ("exif:OffsetTimeOriginal", text("+02:00")),
            ("exif:PixelXDimension", Value::Number(6000)),
            ("exif:GPSLatitude", Value::Decimal(-33.5)),
            ("exif:GPSLongitude", Value::Decimal(151.25)),
        ];
        let given = stated.statements.iter();
        let given: Vec<_> = given
            .map(|one| (one.name.as_str(), one.value.clone()))
            .collect();
        assert_eq!(given, expected);
    }
}

#[test]
fn a_comment_is_read_as_what_it_says_it_is() {
    let comment = |data: &[u8]| {
        let exif = vec![(37510, Field::Bytes(7, data.to_vec()))];
        of_camera(true, &[(34665, Field::Below(exif))])
    };
    let wide: Vec<u8> = "UNICODE\0"
        .bytes()
        .chain("😀 ö".encode_utf16().flat_map(u16::to_be_bytes))
        .collect();
    let name = "exif:UserComment";
    assert_eq!(value(&comment(&wide), name), Some(&text("😀 ö")));
    assert_eq!(
        value(&comment(b"ASCII\0\0\0plain \0"), name),
        Some(&text("plain"))
    );
    assert_eq!(comment(b"\0\0\0\0\0\0\0\0    "), Stated::default());
    for refused in [
        &b"\0\0\0\0\0\0\0\0what"[..],
        b"JIS\0\0\0\0\0what",
        b"UNICODE\0\xd8\0\0\x20",
    ] {
        let stated = comment(refused);
        assert_eq!((stated.statements.len(), stated.findings.len()), (0, 1));
    }
}

#[test]
fn text_that_is_neither_ascii_nor_utf_8_is_held_back() {
    let stated = of_camera(
        false,
        &[
            (315, Field::Bytes(2, b"M\xfcller\0".to_vec())),
            (272, ascii("Model")),
        ],
    );
    assert_eq!(stated.statements.len(), 1);
    assert!(messages(&stated)[0].starts_with("tiff:Artist is left out"));
}

#[test]
fn what_a_camera_does_not_know_it_does_not_state() {
    let gps = vec![(1, ascii("N")), (2, Field::Rationals(vec![(0, 0); 3]))];
    let exif = vec![
        (36867, ascii("0000:00:00 00:00:00")),
        (34853, Field::Below(gps)),
    ];
    assert_eq!(
        of_camera(true, &[(34665, Field::Below(exif))]),
        Stated::default()
    );
}

#[test]
fn a_coordinate_off_the_globe_is_held_back() {
    let gps = vec![
        (1, ascii("N")),
        (2, Field::Rationals(vec![(91, 1), (0, 1), (0, 1)])),
    ];
    let stated = of_camera(true, &[(34853, Field::Below(gps))]);
    assert_eq!(
        messages(&stated),
        ["exif:GPSLatitude is left out: it is more than 90 degrees"]
    );
}

#[test]
fn what_xmp_states_is_not_taken_from_exif_again() {
    let exif = tiff(true, 0, &[(270, ascii("EXIF")), (271, ascii("EXIF"))]);
    let xmp = packet("dc:description=\"XMP\"", "");
    let stated = stated(&jpeg(Some(&xmp), Some(&exif), None));
    assert_eq!(value(&stated, "dc:description"), Some(&text("XMP")));
    assert_eq!(value(&stated, "tiff:ImageDescription"), None);
    assert_eq!(value(&stated, "tiff:Make"), Some(&text("EXIF")));
}
