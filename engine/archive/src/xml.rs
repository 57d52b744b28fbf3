//! XML that is written piece by piece, with escapes that every reader gives back as they were.
//!
//! XML 1.0 has no way at all to write some characters, and readers fold line ends and the blanks of attributes. The
//! latter are written as references here; the former are for callers to do something about ([`is_writable`]).

use std::io::Write;

use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;
use windlass_core::{Error, Kind, Result};

/// A document that is being written.
pub(crate) struct Xml<W: Write> {
    out: Writer<W>,
}

impl<W: Write> std::fmt::Debug for Xml<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Xml")
    }
}

impl<W: Write> Xml<W> {
    /// An empty document, indented.
    pub(crate) fn new(out: W) -> Self {
        Xml {
            out: Writer::new_with_indent(out, b' ', 2),
        }
    }

    /// Says which XML it is.
    pub(crate) fn declare(&mut self) -> Result<()> {
        self.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
    }

    /// Begins an element.
    pub(crate) fn start(&mut self, name: &str, attributes: &[(&str, &str)]) -> Result<()> {
        self.event(Event::Start(element(name, attributes)))
    }

    /// Ends an element.
    pub(crate) fn end(&mut self, name: &str) -> Result<()> {
        self.event(Event::End(BytesEnd::new(name)))
    }

    /// Writes an element with a text.
    pub(crate) fn text(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        text: &str,
    ) -> Result<()> {
        self.start(name, attributes)?;
        self.event(Event::Text(BytesText::from_escaped(escaped(text))))?;
        self.end(name)
    }

    /// Writes something as it is.
    pub(crate) fn raw(&mut self, text: &str) -> Result<()> {
        self.out
            .get_mut()
            .write_all(text.as_bytes())
            .map_err(unwritten)
    }

    /// What was written to.
    pub(crate) fn into_inner(self) -> W {
        self.out.into_inner()
    }

    fn event(&mut self, event: Event<'_>) -> Result<()> {
        self.out.write_event(event).map_err(unwritten)
    }
}

fn element<'a>(name: &'a str, attributes: &[(&'a str, &'a str)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (key, value) in attributes {
        start.push_attribute(Attribute {
            key: QName(key),
            value: escaped(value).into(),
        });
    }
    start
}

/// Whether XML 1.0 can hold a character.
pub(crate) fn is_writable(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        c => c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'),
    }
}

/// A text as content or attribute; what XML cannot hold is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // Also where it would end a section of characters: `]]>`.
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            c if is_writable(c) => escaped.push(c),
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

pub(crate) fn unwritten(error: std::io::Error) -> Error {
    Error::new(Kind::Capacity, "the document cannot be written").with_source(error)
}
