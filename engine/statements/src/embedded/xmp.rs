//! XMP: an RDF/XML packet, read property by property.
//!
//! A property is known by the namespace of its name, whatever prefix the file gives it, and is stated under the
//! customary prefix. Names in other namespaces are left out. Entities are not expanded, except for characters and
//! the five that XML has itself, so a packet cannot grow on being read.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use crate::stated::Collector;

mod property;

/// The namespaces that are read, by customary prefix. The first two are those of the syntax.
const NAMESPACES: &[(&str, &str)] = &[
    ("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"),
    ("xml", "http://www.w3.org/XML/1998/namespace"),
    ("dc", "http://purl.org/dc/elements/1.1/"),
    ("xmp", "http://ns.adobe.com/xap/1.0/"),
    ("xmpRights", "http://ns.adobe.com/xap/1.0/rights/"),
    ("xmpMM", "http://ns.adobe.com/xap/1.0/mm/"),
    ("photoshop", "http://ns.adobe.com/photoshop/1.0/"),
    (
        "Iptc4xmpCore",
        "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    ),
    ("Iptc4xmpExt", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"),
    ("plus", "http://ns.useplus.org/ldf/xmp/1.0/"),
    ("tiff", "http://ns.adobe.com/tiff/1.0/"),
    ("exif", "http://ns.adobe.com/exif/1.0/"),
    ("pdf", "http://ns.adobe.com/pdf/1.3/"),
];

/// What programs keep for themselves, at times in a hundred thousand entries.
const MACHINERY: &[&str] = &[
    "photoshop:DocumentAncestors",
    "xmpMM:History",
    "xmpMM:Pantry",
];

/// How deep the elements of a property may nest. Those of the standards nest six deep.
const DEPTH_MAX: usize = 24;

/// How many elements and attributes a property may have. Four for each entry of the longest list.
const NODES_MAX: usize = 4 << 10;

/// The longest local name, in bytes; the standards' have up to 40.
const NAME_BYTES_MAX: usize = 128;

const NOT_UTF_8: &str = "it is not valid UTF-8";
const TOO_LARGE: &str = "it nests too deep or has too many parts";

/// An element or attribute within a property, its name with the customary prefix.
#[derive(Debug, Default)]
struct Node {
    name: String,
    text: String,
    attributes: Vec<Node>,
    children: Vec<Node>,
}

/// Why the rest of a packet cannot be read.
struct Broken(String);

impl From<quick_xml::Error> for Broken {
    fn from(error: quick_xml::Error) -> Self {
        Broken(error.to_string())
    }
}

/// States what a packet states. What is wrong within one property does not touch the others.
pub(super) fn read(packet: &[u8], into: &mut Collector<'_>) {
    let packet = packet.strip_prefix(b"\xef\xbb\xbf").unwrap_or(packet);
    // Some writers pad to the end of their block.
    let end = packet.iter().rposition(|&byte| byte != 0);
    let packet = &packet[..end.map_or(0, |end| end + 1)];
    if matches!(packet, [0xfe | 0xff | 0, ..] | [_, 0, ..]) {
        into.remark("its XMP is in UTF-16 or UTF-32, which is not read");
        return;
    }
    let text = String::from_utf8_lossy(packet);
    let mut walk = Walk {
        reader: NsReader::from_str(&text),
        damaged: matches!(text, Cow::Owned(_)),
        nodes_left: 0,
        trouble: None,
        into,
    };
    if let Err(Broken(why)) = walk.packet() {
        let at = walk.reader.buffer_position();
        walk.into.remark(format!(
            "its XMP is damaged at byte {at}, and what follows is not read: {why}"
        ));
    }
}

/// A walk through a packet.
struct Walk<'i, 'c, 's> {
    reader: NsReader<&'i [u8]>,
    /// Invalid bytes were replaced, so a replacement character says that a text is not what was stored.
    damaged: bool,
    /// How many nodes the property may still have.
    nodes_left: usize,
    /// Why the property cannot be stated.
    trouble: Option<&'static str>,
    into: &'c mut Collector<'s>,
}

impl<'i> Walk<'i, '_, '_> {
    fn packet(&mut self) -> Result<(), Broken> {
        let mut has_rdf = false;
        loop {
            match self.reader.read_event()? {
                Event::Start(start) if self.element_is(&start, "rdf:RDF") => {
                    has_rdf = true;
                    self.descriptions()?;
                }
                Event::Empty(empty) if self.element_is(&empty, "rdf:RDF") => has_rdf = true,
                Event::Eof => break,
                _ => {}
            }
        }
        if !has_rdf {
            self.into
                .remark("its XMP has no RDF in it, so nothing is read");
        }
        Ok(())
    }

    fn descriptions(&mut self) -> Result<(), Broken> {
        loop {
            match self.next()? {
                Event::Start(start) if self.element_is(&start, "rdf:Description") => {
                    self.attribute_properties(&start)?;
                    self.properties()?;
                }
                Event::Start(other) => self.skip(&other)?,
                Event::Empty(empty) if self.element_is(&empty, "rdf:Description") => {
                    self.attribute_properties(&empty)?;
                }
                Event::End(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Properties in the short form: attributes of the description.
    fn attribute_properties(&mut self, start: &BytesStart<'i>) -> Result<(), Broken> {
        self.begin_property();
        // Each is a property of its own, so their number is bounded by that of the statements.
        self.nodes_left = usize::MAX;
        for attribute in self.attributes(start)? {
            self.state(attribute);
        }
        Ok(())
    }

    /// Properties in the long form: elements in the description.
    fn properties(&mut self) -> Result<(), Broken> {
        loop {
            self.begin_property();
            match self.next()? {
                Event::Start(start) => {
                    if let Some(property) = self.node(&start, false, 0)? {
                        self.state(property);
                    }
                }
                Event::Empty(empty) => {
                    if let Some(property) = self.node(&empty, true, 0)? {
                        self.state(property);
                    }
                }
                Event::End(_) => return Ok(()),
                _ => {}
            }
        }
    }

    fn begin_property(&mut self) {
        self.nodes_left = NODES_MAX;
        self.trouble = None;
    }

    fn state(&mut self, property: Node) {
        // What the syntax says about the description is no property: `rdf:about`, `xml:lang`.
        if is_syntax(&property.name) {
            return;
        }
        match self.trouble {
            Some(why) => self.into.left_out(&property.name, why),
            None if self.damaged && property.has('\u{fffd}') => {
                self.into.left_out(&property.name, NOT_UTF_8);
            }
            None => property::state(property, self.into),
        }
    }

    /// An element with all that is in it; `None` if its name is not known.
    fn node(
        &mut self,
        start: &BytesStart<'i>,
        empty: bool,
        depth: usize,
    ) -> Result<Option<Node>, Broken> {
        let name = self.element(start);
        let fits = depth < DEPTH_MAX && self.nodes_left > 0;
        if name.is_some() && !fits {
            self.trouble = Some(TOO_LARGE);
        }
        let Some(name) = name.filter(|_| fits) else {
            if !empty {
                self.skip(start)?;
            }
            return Ok(None);
        };
        self.nodes_left -= 1;
        let mut node = Node {
            name,
            attributes: self.attributes(start)?,
            ..Node::default()
        };
        if !empty {
            self.content(&mut node, depth)?;
        }
        Ok(Some(node))
    }

    /// Reads what is in an element, to its end.
    fn content(&mut self, node: &mut Node, depth: usize) -> Result<(), Broken> {
        loop {
            match self.next()? {
                Event::Start(start) => {
                    (node.children).extend(self.node(&start, false, depth + 1)?);
                }
                Event::Empty(empty) => node.children.extend(self.node(&empty, true, depth + 1)?),
                Event::Text(text) => node.text.push_str(&text.xml10_content()),
                Event::CData(text) => node.text.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => match character(&reference) {
                    Some(c) => node.text.push(c),
                    None => self.trouble = Some("it uses an entity that XML does not have"),
                },
                Event::End(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// The attributes whose names are known.
    fn attributes(&mut self, start: &BytesStart<'i>) -> Result<Vec<Node>, Broken> {
        let mut found = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| Broken(error.to_string()))?;
            let (namespace, local) = self.reader.resolver().resolve_attribute(attribute.key);
            let Some(name) = known(&namespace, local.into_inner()) else {
                continue;
            };
            if self.nodes_left == 0 {
                self.trouble = Some(TOO_LARGE);
                break;
            }
            self.nodes_left -= 1;
            match attribute.normalized_value(XmlVersion::Implicit1_0) {
                Ok(text) => found.push(Node {
                    name,
                    text: text.into_owned(),
                    ..Node::default()
                }),
                Err(error) => self.into.left_out(&name, error),
            }
        }
        Ok(found)
    }

    /// The next event of a packet that must not end here.
    fn next(&mut self) -> Result<Event<'i>, Broken> {
        match self.reader.read_event()? {
            Event::Eof => Err(Broken("it ends within an element".to_owned())),
            event => Ok(event),
        }
    }

    fn skip(&mut self, start: &BytesStart<'i>) -> Result<(), Broken> {
        self.reader.read_to_end(start.to_end().name())?;
        Ok(())
    }

    fn element(&self, start: &BytesStart<'_>) -> Option<String> {
        let (namespace, local) = self.reader.resolver().resolve_element(start.name());
        known(&namespace, local.into_inner())
    }

    fn element_is(&self, start: &BytesStart<'_>, name: &str) -> bool {
        self.element(start).as_deref() == Some(name)
    }
}

impl Node {
    /// Whether a character is anywhere in it.
    fn has(&self, c: char) -> bool {
        let mut below = self.attributes.iter().chain(&self.children);
        self.text.contains(c) || below.any(|node| node.has(c))
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|node| node.name == name)?;
        Some(&found.text)
    }

    fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|node| node.name == name)
    }
}

fn is_syntax(name: &str) -> bool {
    name.starts_with("rdf:") || name.starts_with("xml:")
}

/// The name with its customary prefix, if its namespace is read.
fn known(namespace: &ResolveResult<'_>, local: &str) -> Option<String> {
    let ResolveResult::Bound(Namespace(uri)) = namespace else {
        return None;
    };
    let (prefix, _) = NAMESPACES.iter().find(|(_, known)| known == uri)?;
    if local.len() > NAME_BYTES_MAX {
        return None;
    }
    let name = format!("{prefix}:{local}");
    (!MACHINERY.contains(&name.as_str())).then_some(name)
}

/// A character reference, or one of the five entities of XML.
pub(crate) fn character(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?).filter(|&c| c != '\0')
        }
    }
}
