use std::collections::BTreeMap;

use proptest::prelude::*;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use quick_xml::reader::NsReader;
use quick_xml::{XmlVersion, name::ResolveResult};
use windlass_core::{Kind, Value};
use windlass_statements::sidecar;

use super::make::{archived, every_value, holding};
use crate::*;

fn described(fields: &[(&str, Value)]) -> ArchivedAsset {
    ArchivedAsset::of(&holding("7", "a.jpg", 1, fields), &archived())
}

fn written(fields: &[(&str, Value)], map: &XmpMap) -> Vec<u8> {
    xmp(&described(fields), map).unwrap()
}

/// What the reader of XMP files states of a sidecar, without findings.
fn stated(bytes: &[u8]) -> BTreeMap<String, Value> {
    let stated = sidecar("a.xmp", bytes);
    assert_eq!(stated.findings, []);
    let statements = stated.statements.into_iter();
    statements.map(|one| (one.name, one.value)).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn programs_that_read_xmp_find_the_words_of_the_standards() {
    let stated = stated(&written(&every_value(), &XmpMap::default()));
    let fields: BTreeMap<&str, Value> = every_value().into_iter().collect();
    assert_eq!(stated["dc:title"], text("Title of a.jpg"));
    assert_eq!(stated["dc:description"], fields["description"]);
    assert_eq!(stated["dc:subject"], fields["keywords"]);
    assert_eq!(stated["dc:rights"], fields["copyright"]);
    assert_eq!(stated["xmp:ModifyDate"], text("2026-03-01T08:30:00Z"));
    assert!(!stated.contains_key("photoshop:Instructions"));
}

#[test]
fn the_operator_says_what_fields_stand_for() {
    let map = XmpMap::new([
        ("budget", "photoshop:Instructions"),
        ("cleared", "xmpRights:Marked"),
        ("market", "dc:subject"),
        ("copyright", ""),
    ])
    .unwrap();
    let stated = stated(&written(&every_value(), &map));
    assert_eq!(stated["photoshop:Instructions"], text("-12"));
    assert_eq!(stated["xmpRights:Marked"], Value::Boolean(true));
    let subject = ["EU/DE", "EU/AT", "Frühling", "עברית", "🌷"];
    assert_eq!(
        stated["dc:subject"],
        Value::Keywords(subject.map(str::to_owned).to_vec())
    );
    assert!(!stated.contains_key("dc:rights"));
    let error = XmpMap::new([("a", "dc:Title")]).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.hint().unwrap().contains("dc:title"));
    assert_eq!(
        XmpMap::default().property("Usage_Terms"),
        Some("xmpRights:UsageTerms")
    );
}

#[test]
fn texts_of_all_scripts_come_back() {
    for said in [
        "Größe",
        "漢字かな",
        "שלום עולם",
        "مرحبا",
        "👩‍🚀🌷",
        "]]>",
        "<a & \"b\" 'c'>",
        "&amp; &#10;",
        " two\n lines\r\nthree\tcolumns ",
        "\u{85}\u{2028}\u{feff}x",
    ] {
        let map = XmpMap::new([("said", "photoshop:Headline")]).unwrap();
        let bytes = written(&[("said", text(said))], &map);
        assert_eq!(stated(&bytes)["photoshop:Headline"], text(said));
        assert_eq!(own_fields(&bytes)["said"], text(said));
    }
}

#[test]
fn what_xml_cannot_hold_is_replaced_in_the_standards_and_kept_in_ours() {
    let said = "a\u{0}b\u{1f}\\\"\u{ffff}c";
    let map = XmpMap::new([("said", "photoshop:Headline")]).unwrap();
    let bytes = written(&[("said", text(said))], &map);
    let shown = "a\u{fffd}b\u{fffd}\\\"\u{fffd}c";
    assert_eq!(stated(&bytes)["photoshop:Headline"], text(shown));
    assert_eq!(own_fields(&bytes)["said"], text(said));
}

/// The fields in our own namespace, as anybody could read them.
fn own_fields(bytes: &[u8]) -> BTreeMap<String, Value> {
    let mut reader = NsReader::from_str(std::str::from_utf8(bytes).unwrap());
    let mut fields = BTreeMap::new();
    let mut field: Option<Field> = None;
    let mut said = None;
    loop {
        let (namespace, event) = reader.read_resolved_event().unwrap();
        let is_own = matches!(namespace, ResolveResult::Bound(n) if n.0 == NAMESPACE);
        match event {
            Event::Eof => return fields,
            Event::Start(start) => {
                let mut attributes = BTreeMap::new();
                for attribute in start.attributes() {
                    let attribute = attribute.unwrap();
                    let value = attribute.normalized_value(XmlVersion::Implicit1_0).unwrap();
                    attributes.insert(attribute.key.0.to_owned(), value.into_owned());
                }
                let local = start.local_name();
                if let Some(name) = attributes.remove("windlass:name") {
                    let kind = attributes.remove("windlass:type").unwrap();
                    let json = attributes.contains_key("windlass:encoding");
                    field = Some(Field {
                        name,
                        kind,
                        json,
                        texts: vec![],
                    });
                } else if is_own && local.into_inner() == "value" || local.into_inner() == "li" {
                    said = Some((attributes.remove("xml:lang"), String::new()));
                }
            }
            Event::Text(text) => {
                if let Some((_, said)) = &mut said {
                    said.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                if let Some((_, said)) = &mut said {
                    match reference.resolve_char_ref().unwrap() {
                        Some(c) => said.push(c),
                        None => said.push_str(resolve_xml_entity(&reference).unwrap()),
                    }
                }
            }
            Event::End(end) => {
                let local = end.local_name();
                let is_text = local.into_inner() == "li" || is_own && local.into_inner() == "value";
                if let (true, Some(field), Some(text)) = (is_text, &mut field, said.take()) {
                    field.texts.push(text);
                }
                if local.into_inner() == "Description"
                    && let Some(field) = field.take()
                {
                    let (name, value) = field.value();
                    fields.insert(name, value);
                }
            }
            _ => {}
        }
    }
}

struct Field {
    name: String,
    kind: String,
    json: bool,
    texts: Vec<(Option<String>, String)>,
}

impl Field {
    fn value(self) -> (String, Value) {
        let plain = |text: &str| match self.json {
            true => serde_json::from_str(&format!("\"{text}\"")).unwrap(),
            false => text.to_owned(),
        };
        let all = || self.texts.iter().map(|(_, text)| plain(text)).collect();
        let one = || plain(&self.texts[0].1);
        let value = match &*self.kind {
            "text" => Value::Text(one()),
            "number" => Value::Number(one().parse().unwrap()),
            "decimal" => Value::Decimal(one().parse().unwrap()),
            "date" => Value::Date(one().parse().unwrap()),
            "boolean" => Value::Boolean(one().parse().unwrap()),
            "keywords" => Value::Keywords(all()),
            "references" => Value::References(all()),
            "localized-text" => {
                let texts = self.texts.iter();
                let texts =
                    texts.map(|(lang, text)| (plain(lang.as_deref().unwrap()), plain(text)));
                Value::LocalizedText(texts.collect())
            }
            kind => panic!("{kind}"),
        };
        (plain(&self.name), value)
    }
}

#[test]
fn every_type_of_value_comes_back() {
    let fields: BTreeMap<String, Value> = every_value()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let bytes = written(&every_value(), &XmpMap::default());
    assert_eq!(own_fields(&bytes), fields);
}

fn any_value() -> impl Strategy<Value = Value> {
    let texts = || any::<String>();
    prop_oneof![
        texts().prop_map(Value::Text),
        prop::collection::btree_map(texts(), texts(), 1..4).prop_map(Value::LocalizedText),
        prop::collection::vec(texts(), 1..4).prop_map(Value::Keywords),
        any::<i32>().prop_map(|number| Value::Number(number.into())),
        (-1e9..1e9f64).prop_map(Value::Decimal),
    ]
}

proptest! {
    #[test]
    fn whatever_fields_hold_comes_back(fields in prop::collection::btree_map(any::<String>(), any_value(), 0..4)) {
        let listed: Vec<(&str, Value)> = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let bytes = written(&listed, &XmpMap::default());
        prop_assert_eq!(own_fields(&bytes), fields);
    }
}
