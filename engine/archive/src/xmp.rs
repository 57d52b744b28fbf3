//! The XMP sidecar of an asset: what other programs read, and everything else in a namespace of our own.
//!
//! Some fields are known to the standards ([`XmpMap`]) and stand there in their words, as far as those words hold them.
//! All fields, those as well, stand with their types in [`NAMESPACE`], from where they can be read without loss:
//!
//! ```text
//! <windlass:fields><rdf:Bag><rdf:li>
//!   <rdf:Description windlass:name="budget" windlass:type="number"><windlass:value>12</windlass:value></rdf:Description>
//! ```
//!
//! Lists are an `rdf:Seq` and texts in languages an `rdf:Alt` in `windlass:value`. A field with a character that XML cannot
//! hold has `windlass:encoding="json"`, and its texts are those between the quotes of a JSON string.

use windlass_core::{Result, Value, ValueKind};

use crate::model::ArchivedAsset;
use crate::xml::{Xml, is_writable};

mod map;

pub use map::XmpMap;
use map::{Form, property_texts};

/// The namespace of what XMP has no words for. It is a name and no address: nothing is to be found there, on purpose,
/// and it stays as it is as long as its meaning does.
pub const NAMESPACE: &str = "http://windlass.invalid/ns/archive/1.0/";

/// The namespaces of the properties that are written.
const NAMESPACES: &[(&str, &str)] = &[
    ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
    ("xmlns:xmp", "http://ns.adobe.com/xap/1.0/"),
    ("xmlns:xmpRights", "http://ns.adobe.com/xap/1.0/rights/"),
    ("xmlns:photoshop", "http://ns.adobe.com/photoshop/1.0/"),
    (
        "xmlns:Iptc4xmpCore",
        "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    ),
    (
        "xmlns:Iptc4xmpExt",
        "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    ),
    ("xmlns:windlass", NAMESPACE),
];

/// The sidecar of an asset. `map` says which fields stand for which properties.
///
/// Errors: none that a caller could cause; writing to memory has its type.
pub fn xmp(asset: &ArchivedAsset, map: &XmpMap) -> Result<Vec<u8>> {
    let mut xml = Xml::new(Vec::new());
    xml.raw("<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>")?;
    xml.start("x:xmpmeta", &[("xmlns:x", "adobe:ns:meta/")])?;
    let rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
    xml.start("rdf:RDF", &[("xmlns:rdf", rdf)])?;
    let mut attributes = vec![("rdf:about", "")];
    attributes.extend(NAMESPACES);
    xml.start("rdf:Description", &attributes)?;
    standard(&mut xml, asset, map)?;
    own(&mut xml, asset)?;
    for name in ["rdf:Description", "rdf:RDF", "x:xmpmeta"] {
        xml.end(name)?;
    }
    xml.raw("\n<?xpacket end=\"r\"?>\n")?;
    Ok(xml.into_inner())
}

/// What the standards have words for.
fn standard(xml: &mut Xml<Vec<u8>>, asset: &ArchivedAsset, map: &XmpMap) -> Result<()> {
    if let Some(modified) = asset.modified {
        xml.text("xmp:ModifyDate", &[], &modified.to_string())?;
    }
    xml.text("xmp:MetadataDate", &[], &asset.archived_at.to_string())?;
    let mut properties = map.properties(&asset.fields);
    // A field that is mapped to the title is what the operator wants there.
    let title = Value::Text(asset.title.clone());
    let titles = properties.entry("dc:title").or_default();
    if titles.is_empty() {
        titles.push(&title);
    }
    for (name, values) in properties {
        property(xml, name, map::form_of(name), &values)?;
    }
    Ok(())
}

fn property(xml: &mut Xml<Vec<u8>>, name: &str, form: Form, values: &[&Value]) -> Result<()> {
    let Some(first) = values.first() else {
        return Ok(());
    };
    match form {
        Form::Languages => in_languages(xml, name, first),
        Form::Bag | Form::Seq => {
            let texts = values.iter().flat_map(|value| property_texts(value));
            let texts: Vec<String> = texts.collect();
            list(xml, name, form, &texts)
        }
        Form::Boolean => match first {
            Value::Boolean(yes) => xml.text(name, &[], if *yes { "True" } else { "False" }),
            _ => Ok(()),
        },
        Form::Text => xml.text(name, &[], &property_texts(first).join(", ")),
    }
}

/// A text that may stand in several languages. By the standard the first one is the default, and repeats another.
fn in_languages(xml: &mut Xml<Vec<u8>>, name: &str, value: &Value) -> Result<()> {
    const DEFAULT: &str = "x-default";
    let joined;
    let mut items: Vec<(&str, &str)> = Vec::new();
    match value {
        Value::LocalizedText(texts) => {
            let default = texts.get(DEFAULT).or_else(|| texts.get("en"));
            let default = default.or_else(|| texts.values().next());
            items.extend(default.map(|text| (DEFAULT, text.as_str())));
            let others = texts.iter().filter(|(language, _)| *language != DEFAULT);
            items.extend(others.map(|(language, text)| (language.as_str(), text.as_str())));
        }
        value => {
            joined = property_texts(value).join(", ");
            items.push((DEFAULT, &joined));
        }
    }
    xml.start(name, &[])?;
    xml.start("rdf:Alt", &[])?;
    for (language, text) in items {
        xml.text("rdf:li", &[("xml:lang", language)], text)?;
    }
    xml.end("rdf:Alt")?;
    xml.end(name)
}

fn list(xml: &mut Xml<Vec<u8>>, name: &str, form: Form, texts: &[String]) -> Result<()> {
    let kind = match form {
        Form::Seq => "rdf:Seq",
        _ => "rdf:Bag",
    };
    xml.start(name, &[])?;
    xml.start(kind, &[])?;
    for text in texts {
        xml.text("rdf:li", &[], text)?;
    }
    xml.end(kind)?;
    xml.end(name)
}

/// What identifies the asset, and all fields.
fn own(xml: &mut Xml<Vec<u8>>, asset: &ArchivedAsset) -> Result<()> {
    let facts = [
        ("windlass:archive", asset.archive.as_str()),
        ("windlass:source", asset.source.as_str()),
        ("windlass:asset", asset.id.as_str()),
        ("windlass:version", asset.version.as_str()),
        ("windlass:fileName", asset.file_name.as_str()),
        ("windlass:path", asset.path.as_str()),
    ];
    for (name, text) in facts {
        xml.text(name, &[], text)?;
    }
    if let Some(asset_type) = &asset.asset_type {
        xml.text("windlass:assetType", &[], asset_type)?;
    }
    let collections = asset
        .collections
        .iter()
        .map(|path| path.as_str().to_owned());
    let collections: Vec<String> = collections.collect();
    list(xml, "windlass:collections", Form::Bag, &collections)?;
    xml.start("windlass:fields", &[])?;
    xml.start("rdf:Bag", &[])?;
    for (name, value) in &asset.fields {
        field(xml, name, value)?;
    }
    xml.end("rdf:Bag")?;
    xml.end("windlass:fields")
}

/// One field without loss.
fn field(xml: &mut Xml<Vec<u8>>, name: &str, value: &Value) -> Result<()> {
    let as_json = !is_writable_all(name, value);
    let coded = |text: &str| match as_json {
        true => inside_json(text),
        false => text.to_owned(),
    };
    let name = coded(name);
    let mut attributes = vec![("windlass:name", name.as_str())];
    attributes.push(("windlass:type", type_name(value.kind())));
    if as_json {
        attributes.push(("windlass:encoding", "json"));
    }
    xml.start("rdf:li", &[])?;
    xml.start("rdf:Description", &attributes)?;
    match value {
        Value::LocalizedText(texts) => {
            xml.start("windlass:value", &[])?;
            xml.start("rdf:Alt", &[])?;
            for (language, text) in texts {
                xml.text("rdf:li", &[("xml:lang", &coded(language))], &coded(text))?;
            }
            xml.end("rdf:Alt")?;
            xml.end("windlass:value")?;
        }
        Value::Keywords(entries) | Value::References(entries) => {
            let entries: Vec<String> = entries.iter().map(|entry| coded(entry)).collect();
            list(xml, "windlass:value", Form::Seq, &entries)?;
        }
        value => xml.text(
            "windlass:value",
            &[],
            &coded(&property_texts(value).concat()),
        )?,
    }
    xml.end("rdf:Description")?;
    xml.end("rdf:li")
}

fn is_writable_all(name: &str, value: &Value) -> bool {
    let is_writable = |text: &str| text.chars().all(is_writable);
    let holds = match value {
        Value::Text(text) => is_writable(text),
        Value::LocalizedText(texts) => texts.iter().all(|(k, v)| is_writable(k) && is_writable(v)),
        Value::Keywords(entries) | Value::References(entries) => {
            entries.iter().all(|entry| is_writable(entry))
        }
        _ => true,
    };
    holds && is_writable(name)
}

/// A text as it stands between the quotes of a JSON string, with escapes for all that XML cannot hold.
fn inside_json(text: &str) -> String {
    let mut inside = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => inside.extend(['\\', c]),
            c if c < ' ' || !is_writable(c) => {
                inside.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => inside.push(c),
        }
    }
    inside
}

/// The names that the types have in JSON.
fn type_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Text => "text",
        ValueKind::LocalizedText => "localized-text",
        ValueKind::Number => "number",
        ValueKind::Decimal => "decimal",
        ValueKind::Date => "date",
        ValueKind::Boolean => "boolean",
        ValueKind::Keywords => "keywords",
        ValueKind::References => "references",
    }
}
