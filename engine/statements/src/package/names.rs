//! File names in the XML of documents. Elements are known by their local names, since only these say it.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Found, Trouble};
use crate::embedded::character;

/// How many names a document may have; what comes after is not asked for.
const NAMES_MAX: usize = 50_000;

const NO_XML: &str = "a part of it is no XML that can be read";

/// What an XMP packet names, perhaps with bytes around it.
pub(super) fn from_xmp(stream: &[u8]) -> Result<Found, Trouble> {
    let text = String::from_utf8_lossy(stream);
    let begins = text.find('<').ok_or(NO_XML)?;
    let ends = text.rfind('>').ok_or(NO_XML)?;
    let mut reader = Reader::from_str(text.get(begins..=ends).ok_or(NO_XML)?);
    let mut found = Found::default();
    // The elements that are open, by local name.
    let mut open: Vec<String> = Vec::new();
    let mut value = String::new();
    loop {
        match reader.read_event().map_err(|_| NO_XML)? {
            Event::Start(start) => {
                attributes(&start, &open, &mut found)?;
                open.push(local(&start));
                value.clear();
            }
            Event::Empty(start) => attributes(&start, &open, &mut found)?,
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => value.extend(character(&reference)),
            Event::End(_) => {
                let name = open.pop().ok_or(NO_XML)?;
                keep(&name, &value, &open, &mut found);
                value.clear();
            }
            Event::Eof if open.is_empty() => return Ok(found),
            Event::Eof => return Err(NO_XML.into()),
            _ => {}
        }
    }
}

fn attributes(start: &BytesStart<'_>, open: &[String], found: &mut Found) -> Result<(), Trouble> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| NO_XML)?;
        let name = attribute.key.local_name().as_ref().to_owned();
        if matches!(name.as_str(), "filePath" | "fontFileName") {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            keep(&name, &value.map_err(|_| NO_XML)?, open, found);
        }
    }
    Ok(())
}

/// A property is a name where it is in a manifest or in a list of fonts: other properties have paths too.
fn keep(name: &str, value: &str, open: &[String], found: &mut Found) {
    let within = |list: &str| open.iter().any(|open| open == list);
    if found.links.len() + found.fonts.len() >= NAMES_MAX {
        return;
    }
    if name == "filePath" && within("Manifest") {
        found.links.extend(file_of(value));
    }
    if name == "fontFileName" && within("Fonts") {
        // The outlines and the metrics of one font.
        found.fonts.extend(value.split(';').filter_map(file_of));
    }
}

/// What a spread or a story of an IDML document names: every link that is not embedded in it.
pub(super) fn from_idml(xml: &[u8], found: &mut Found) -> Result<(), Trouble> {
    let text = std::str::from_utf8(xml).map_err(|_| NO_XML)?;
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().map_err(|_| NO_XML)? {
            Event::Start(start) | Event::Empty(start) if local(&start) == "Link" => {
                link(&start, found)?;
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn link(start: &BytesStart<'_>, found: &mut Found) -> Result<(), Trouble> {
    let value = |name: &str| -> Result<Option<String>, Trouble> {
        let attribute = start.try_get_attribute(name).map_err(|_| NO_XML)?;
        let value = attribute.map(|value| {
            let value = value.normalized_value(XmlVersion::Implicit1_0);
            value.map(|value| value.into_owned())
        });
        Ok(value.transpose().map_err(|_| NO_XML)?)
    };
    let is_embedded = value("StoredState")?.is_some_and(|state| state == "Embedded");
    if is_embedded || found.links.len() >= NAMES_MAX {
        return Ok(());
    }
    if let Some(uri) = value("LinkResourceURI")? {
        found.links.extend(file_of(&uri));
    }
    Ok(())
}

fn local(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

/// The name of the file that a path or a `file:` URI leads to; nothing for what is no file, such as an element of a cloud
/// library.
fn file_of(path: &str) -> Option<String> {
    let path = path.trim();
    let scheme = path.split_once(':').map(|(scheme, _)| scheme);
    let (path, is_uri) = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("file") => (&path[5..], true),
        // One letter is a drive, and a volume of an old Mac has folders behind it without a slash.
        Some(scheme) if scheme.len() > 1 && path.contains('/') && !scheme.contains(['/', ' ']) => {
            return None;
        }
        _ => (path, false),
    };
    let separators: &[char] = match path.contains(['/', '\\']) {
        true => &['/', '\\'],
        false => &[':'],
    };
    let name = path.rsplit(separators).next()?;
    let name = match is_uri {
        true => percent_encoding::percent_decode_str(name)
            .decode_utf8_lossy()
            .into_owned(),
        false => name.to_owned(),
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::file_of;

    #[test]
    fn a_path_of_any_system_leads_to_a_name() {
        for (path, name) in [
            ("file:/Users/jo/Links/hero%20one.tif", Some("hero one.tif")),
            ("file:C:/Work/Links/a.psd", Some("a.psd")),
            ("/Volumes/Server/Links/50%25.tif", Some("50%25.tif")),
            ("C:\\Work\\Links\\a.psd", Some("a.psd")),
            ("Links/a.psd", Some("a.psd")),
            ("Macintosh HD:Users:jo:a.psd", Some("a.psd")),
            ("a.psd", Some("a.psd")),
            ("cclibrary:urn/aaid/sc", None),
            ("https://host/a.psd", None),
            ("Links/", None),
        ] {
            assert_eq!(file_of(path).as_deref(), name, "{path}");
        }
    }
}
