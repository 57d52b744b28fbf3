use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use windlass_core::{Origin, Stated, Value};

use super::write::packet;
use super::{list, messages, text, value};
use crate::{ITEMS_MAX, STATEMENTS_MAX, TEXT_BYTES_MAX, sidecar};

fn read(attributes: &str, elements: &str) -> Stated {
    sidecar("a.xmp", &packet(attributes, elements))
}

fn localized(texts: &[(&str, &str)]) -> Value {
    let texts = texts
        .iter()
        .map(|&(language, text)| (language.to_owned(), text.to_owned()));
    Value::LocalizedText(BTreeMap::from_iter(texts))
}

#[test]
fn both_forms_of_a_property_state_the_same() {
    let short = read(
        "photoshop:City=\"K&amp;#246;ln &amp; Bonn\" xmp:Rating=\"5\"",
        "",
    );
    let short = Stated {
        findings: vec![],
        ..short
    };
    let long = read(
        "",
        "<photoshop:City>K&#38;#246;ln <![CDATA[&]]> B<!-- no -->onn</photoshop:City><xmp:Rating>5</xmp:Rating>",
    );
    assert_eq!(
        value(&long, "photoshop:City"),
        Some(&text("K&#246;ln & Bonn"))
    );
    assert_eq!(short, long);
    assert_eq!(long.statements[0].origin, Origin::Sidecar);
}

#[test]
fn a_property_is_known_by_its_namespace_and_not_by_the_prefix_of_the_file() {
    let elements = "<a:title xmlns:a=\"http://purl.org/dc/elements/1.1/\">mine</a:title>\
                    <dc:title xmlns:dc=\"http://example.com/\">not mine</dc:title>\
                    <other:thing>unknown</other:thing><undeclared:x>unknown</undeclared:x>";
    let stated = read("", elements);
    assert_eq!(value(&stated, "dc:title"), Some(&text("mine")));
    assert_eq!((stated.statements.len(), stated.findings.len()), (1, 0));
}

#[test]
fn alternatives_in_languages_keep_a_default_only_if_it_says_something_else() {
    let alt = |items: &[(&str, &str)]| {
        let items: String = items
            .iter()
            .map(|(language, text)| format!("<rdf:li xml:lang=\"{language}\">{text}</rdf:li>"))
            .collect();
        let stated = read(
            "",
            &format!("<dc:title><rdf:Alt>{items}</rdf:Alt></dc:title>"),
        );
        value(&stated, "dc:title").cloned()
    };
    assert_eq!(alt(&[("x-default", "one")]), Some(text("one")));
    assert_eq!(alt(&[("x-default", "")]), None);
    assert_eq!(
        alt(&[("x-default", "eins"), ("de-DE", "eins"), ("en", "one")]),
        Some(localized(&[("de-DE", "eins"), ("en", "one")]))
    );
    assert_eq!(
        alt(&[("X-Default", "uno"), ("en", "one")]),
        Some(localized(&[("x-default", "uno"), ("en", "one")]))
    );
}

#[test]
fn lists_are_keywords_and_blank_entries_are_none() {
    let elements = "<dc:creator><rdf:Seq><rdf:li>A</rdf:li><rdf:li> </rdf:li><rdf:li>B</rdf:li></rdf:Seq></dc:creator>\
                    <dc:subject><rdf:Bag/></dc:subject>";
    let stated = read("", elements);
    assert_eq!(value(&stated, "dc:creator"), Some(&list(&["A", "B"])));
    assert_eq!(stated.statements.len(), 1);
}

#[test]
fn structures_are_stated_field_by_field_in_any_form() {
    let forms = [
        "<core:CreatorContactInfo rdf:parseType=\"Resource\"><core:CiEmailWork>a@b</core:CiEmailWork></core:CreatorContactInfo>",
        "<core:CreatorContactInfo><rdf:Description><core:CiEmailWork>a@b</core:CiEmailWork></rdf:Description></core:CreatorContactInfo>",
        "<core:CreatorContactInfo><rdf:Description core:CiEmailWork=\"a@b\"/></core:CreatorContactInfo>",
        "<core:CreatorContactInfo core:CiEmailWork=\"a@b\"/>",
    ];
    for form in forms {
        let stated = read("", form);
        let name = "Iptc4xmpCore:CreatorContactInfo/Iptc4xmpCore:CiEmailWork";
        assert_eq!(value(&stated, name), Some(&text("a@b")), "{form}");
        assert_eq!(stated.statements.len(), 1);
    }
}

#[test]
fn a_list_of_structures_is_stated_as_a_list_for_each_field() {
    let place = |city: &str| {
        format!(
            "<rdf:li rdf:parseType=\"Resource\"><Iptc4xmpExt:City>{city}</Iptc4xmpExt:City></rdf:li>"
        )
    };
    let elements = format!(
        "<Iptc4xmpExt:LocationShown><rdf:Bag>{}{}</rdf:Bag></Iptc4xmpExt:LocationShown>",
        place("Wien"),
        place("Graz")
    );
    let stated = read("", &elements);
    let name = "Iptc4xmpExt:LocationShown/Iptc4xmpExt:City";
    assert_eq!(value(&stated, name), Some(&list(&["Wien", "Graz"])));
}

#[test]
fn qualified_values_and_references_are_texts() {
    let elements = "<dc:source rdf:parseType=\"Resource\"><rdf:value>S</rdf:value><other:q>1</other:q></dc:source>\
                    <xmpRights:WebStatement rdf:resource=\"https://example.com/\"/>";
    let stated = read("", elements);
    assert_eq!(value(&stated, "dc:source"), Some(&text("S")));
    assert_eq!(
        value(&stated, "xmpRights:WebStatement"),
        Some(&text("https://example.com/"))
    );
}

#[test]
fn numbers_truths_and_coordinates_have_their_types() {
    let stated = read(
        "xmp:Rating=\"-1\" xmpRights:Marked=\"True\" exif:GPSLatitude=\"48,30.0N\" exif:GPSLongitude=\"16,22,30W\" xmp:CreateDate=\"2024-05\"",
        "",
    );
    assert_eq!(value(&stated, "xmp:Rating"), Some(&Value::Number(-1)));
    assert_eq!(
        value(&stated, "xmpRights:Marked"),
        Some(&Value::Boolean(true))
    );
    assert_eq!(
        value(&stated, "exif:GPSLatitude"),
        Some(&Value::Decimal(48.5))
    );
    assert_eq!(
        value(&stated, "exif:GPSLongitude"),
        Some(&Value::Decimal(-16.375))
    );
    assert_eq!(value(&stated, "xmp:CreateDate"), Some(&text("2024-05")));
    let strange = read(
        "xmp:Rating=\"best\" xmpRights:Marked=\"maybe\" exif:GPSLatitude=\"é\"",
        "",
    );
    assert!(
        strange
            .statements
            .iter()
            .all(|one| matches!(one.value, Value::Text(_)))
    );
}

#[test]
fn entities_are_never_expanded() {
    let laughs = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>";
    let elements = "<dc:title>&b;</dc:title><dc:format>after</dc:format>";
    let file = [
        laughs.as_bytes(),
        &packet("photoshop:City=\"&b;\"", elements),
    ]
    .concat();
    let stated = sidecar("a.xmp", &file);
    assert_eq!(stated.statements.len(), 1);
    assert_eq!(value(&stated, "dc:format"), Some(&text("after")));
    assert_eq!(stated.findings.len(), 2);
}

#[test]
fn one_invalid_text_costs_only_its_own_property() {
    let mut file = packet(
        "",
        "<dc:subject><rdf:Bag><rdf:li>K?ln</rdf:li></rdf:Bag></dc:subject><dc:format>after</dc:format>",
    );
    let at = memchr::memmem::find(&file, b"K?ln").unwrap();
    file[at + 1] = 0xf6;
    let stated = sidecar("a.xmp", &file);
    assert_eq!(value(&stated, "dc:format"), Some(&text("after")));
    assert_eq!(
        messages(&stated),
        ["dc:subject is left out: it is not valid UTF-8"]
    );
}

#[test]
fn of_a_damaged_packet_the_whole_properties_before_the_damage_count() {
    let file = packet(
        "",
        "<dc:format>before</dc:format><dc:title>cut</dc:wrong><dc:source>after</dc:source>",
    );
    let stated = sidecar("a.xmp", &file);
    assert_eq!(value(&stated, "dc:format"), Some(&text("before")));
    assert_eq!(stated.statements.len(), 1);
    assert!(messages(&stated)[0].starts_with("its XMP is damaged at byte"));
}

#[test]
fn a_sidecar_that_is_no_xmp_is_said_to_be_none() {
    for file in [&b""[..], b"plain text", b"<svg/>", b"<a><b></a>"] {
        let stated = sidecar("a.xmp", file);
        assert_eq!((stated.statements.len(), stated.findings.len()), (0, 1));
    }
}

#[test]
fn what_programs_keep_for_themselves_is_not_stated() {
    let ancestors = "<rdf:li>x</rdf:li>".repeat(20_000);
    let elements = format!(
        "<photoshop:DocumentAncestors><rdf:Bag>{ancestors}</rdf:Bag></photoshop:DocumentAncestors>"
    );
    assert_eq!(read("", &elements), Stated::default());
}

#[test]
fn what_is_stated_twice_is_taken_once_and_a_contradiction_is_said() {
    let stated = read(
        "photoshop:City=\"Wien\" photoshop:State=\"W\"",
        "<photoshop:City>Graz</photoshop:City><photoshop:State>W</photoshop:State>",
    );
    assert_eq!(value(&stated, "photoshop:City"), Some(&text("Wien")));
    assert_eq!(
        messages(&stated),
        ["photoshop:City is stated twice; the first is taken"]
    );
}

#[test]
fn statements_lists_texts_and_depth_are_bounded() {
    let many: String = (0..2 * STATEMENTS_MAX)
        .map(|n| format!("<dc:n{n}>x</dc:n{n}>"))
        .collect();
    let stated = read("", &many);
    assert_eq!(stated.statements.len(), STATEMENTS_MAX);
    assert_eq!(messages(&stated).len(), 1);

    let items = "<rdf:li>x</rdf:li>".repeat(ITEMS_MAX + 1);
    let stated = read(
        "",
        &format!("<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"),
    );
    assert_eq!(value(&stated, "dc:subject"), Some(&list(&["x"; ITEMS_MAX])));
    assert_eq!(
        messages(&stated),
        ["dc:subject has 1025 entries; the first 1024 are taken"]
    );

    let stated = read(
        "",
        &format!("<dc:title>x{}</dc:title>", "ö".repeat(TEXT_BYTES_MAX)),
    );
    let cut = format!("x{}", "ö".repeat(TEXT_BYTES_MAX / 2 - 1));
    assert_eq!(value(&stated, "dc:title"), Some(&text(&cut)));
    assert_eq!(stated.findings.len(), 1);

    let deep = "<dc:x>".repeat(10_000) + &"</dc:x>".repeat(10_000);
    let stated = read("", &format!("{deep}<dc:format>after</dc:format>"));
    assert_eq!(value(&stated, "dc:format"), Some(&text("after")));
    assert_eq!(
        messages(&stated),
        ["dc:x is left out: it nests too deep or has too many parts"]
    );
}

/// Each of these is a MiB that a careless reader takes minutes for.
#[test]
fn the_worst_packets_take_no_longer_than_others() {
    let namespaces: String = (0..30_000)
        .map(|n| format!("<a{n}:b xmlns:a{n}=\"u\"/>"))
        .collect();
    let declared: String = (0..50_000).map(|n| format!(" xmlns:a{n}=\"u\"")).collect();
    let attributes: String = (0..60_000).map(|n| format!(" dc:a{n}=\"\"")).collect();
    let started = Instant::now();
    read("", &namespaces);
    read(&declared, &"<a1:b/>".repeat(50_000));
    read(&attributes, "");
    read("", &"<other:x>".repeat(100_000));
    read("", &"<dc:x><rdf:Bag>".repeat(50_000));
    crate::embedded(
        "a.gif",
        &crate::Ends::whole(&b"<?xpacket begin=".repeat(60_000)),
    );
    crate::embedded(
        "a.gif",
        &crate::Ends::whole(&b"<?xpacket end=".repeat(60_000)),
    );
    // Two orders of magnitude above what it takes unoptimised, and as far below what it would take squared.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
