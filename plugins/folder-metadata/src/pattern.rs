//! Patterns: text with `{references}` that are filled in for each asset.
//!
//! A reference names a capture (`{client}`), a capture as it stood in the path before it was cleaned and
//! translated (`{client.code}`), or a part of the file's own path: `{file.name}`, `{file.stem}`,
//! `{file.extension}`, `{folder}` (the innermost folder's name), `{path}`. `{{` and `}}` are braces.

use std::collections::BTreeSet;
use std::fmt;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Reference(Reference),
}

/// What a `{…}` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A capture, cleaned and translated.
    Capture(String),
    /// A capture as it stood in the path.
    Code(String),
    /// The file's name.
    FileName,
    /// The file's name without its extension.
    FileStem,
    /// The file's extension in lower case.
    FileExtension,
    /// The innermost folder's name.
    Folder,
    /// The whole path.
    Path,
}

impl Reference {
    /// Whether two files in one folder can differ in it.
    pub fn needs_file(&self) -> bool {
        match self {
            Reference::Capture(_) | Reference::Code(_) | Reference::Folder => false,
            Reference::FileName | Reference::FileStem | Reference::FileExtension => true,
            Reference::Path => true,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Capture(name) => write!(f, "{{{name}}}"),
            Reference::Code(name) => write!(f, "{{{name}.code}}"),
            Reference::FileName => f.write_str("{file.name}"),
            Reference::FileStem => f.write_str("{file.stem}"),
            Reference::FileExtension => f.write_str("{file.extension}"),
            Reference::Folder => f.write_str("{folder}"),
            Reference::Path => f.write_str("{path}"),
        }
    }
}

impl Pattern {
    /// Parses; `names` are the captures that some template keeps.
    pub fn parse(text: &str, names: &BTreeSet<&str>) -> Result<Self, String> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(first);
                rest = &rest[2..];
            } else if first == '{' {
                let (inner, after) = rest[1..]
                    .split_once('}')
                    .ok_or(format!("{text:?} has a \"{{\" without \"}}\""))?;
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Reference(reference(inner, names)?));
                rest = after;
            } else {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Pattern { pieces })
    }

    /// What it refers to, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Reference(reference) => Some(reference),
        })
    }

    /// The text with every reference resolved; `None` if one of them stands for nothing.
    pub fn fill(&self, mut resolve: impl FnMut(&Reference) -> Option<String>) -> Option<String> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Reference(reference) => filled.push_str(&resolve(reference)?),
            }
        }
        Some(filled)
    }
}

fn reference(inner: &str, names: &BTreeSet<&str>) -> Result<Reference, String> {
    // A capture's name has no dot, so these cannot hide one; `folder` and `path` yield to captures.
    match inner {
        "file.name" => return Ok(Reference::FileName),
        "file.stem" => return Ok(Reference::FileStem),
        "file.extension" => return Ok(Reference::FileExtension),
        name if names.contains(name) => return Ok(Reference::Capture(name.to_owned())),
        "folder" => return Ok(Reference::Folder),
        "path" => return Ok(Reference::Path),
        _ => {}
    }
    if let Some(name) = inner
        .strip_suffix(".code")
        .filter(|name| names.contains(name))
    {
        return Ok(Reference::Code(name.to_owned()));
    }
    let known: Vec<&str> = names.iter().copied().collect();
    Err(format!(
        "no template keeps {{{inner}}}; kept are: {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeSet<&'static str> {
        ["client", "path"].into()
    }

    #[test]
    fn references_are_filled_and_doubled_braces_are_text() {
        let pattern =
            Pattern::parse("{{{client}}} {client.code}.{file.extension}", &names()).unwrap();
        let filled = pattern.fill(|reference| Some(format!("<{reference}>")));
        assert_eq!(
            filled.as_deref(),
            Some("{<{client}>} <{client.code}>.<{file.extension}>")
        );
        assert_eq!(pattern.fill(|_| None), None);
    }

    #[test]
    fn a_capture_hides_a_built_in_of_the_same_name() {
        let pattern = Pattern::parse("{path}", &names()).unwrap();
        assert_eq!(
            pattern.references().next(),
            Some(&Reference::Capture("path".to_owned()))
        );
    }

    #[test]
    fn an_unknown_reference_is_refused_with_what_is_known() {
        let error = Pattern::parse("{clent}", &names()).unwrap_err();
        assert!(
            error.contains("{clent}") && error.contains("client, path"),
            "{error}"
        );
        assert!(Pattern::parse("{client", &names()).is_err());
    }
}
