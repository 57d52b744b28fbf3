//! Patterns: text with `{references}` that are filled in.
//!
//! `{market}`, `{language}` and `{channel}` are those of the placement, as the market table writes them; `{piece}` is the
//! asset's piece, `{asset.language}` its own language (the first of `neutral` if it has none); `{file.name}`,
//! `{file.stem}` and `{file.extension}` are of the file, with the rendition's extension if it has one, `{file.extension}` in
//! lower case. Any other name is a group of an expression. In `value` keys there is no placement yet, so there every name is a group,
//! those of the file apart. `{{` and `}}` are braces.

use std::collections::BTreeSet;
use std::fmt;

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// What a `{…}` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The placement's market.
    Market,
    /// The placement's language.
    Language,
    /// The placement's channel.
    Channel,
    /// The asset's piece.
    Piece,
    /// The asset's own language.
    AssetLanguage,
    /// The file's name.
    FileName,
    /// The file's name without its extension.
    FileStem,
    /// The extension.
    FileExtension,
    /// A group of an expression.
    Group(String),
}

/// What a pattern can refer to.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Whether there is a placement.
    pub placement: bool,
    /// Whether there is a piece.
    pub piece: bool,
    /// The groups of all expressions.
    pub groups: &'a BTreeSet<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reference::Market => "market",
            Reference::Language => "language",
            Reference::Channel => "channel",
            Reference::Piece => "piece",
            Reference::AssetLanguage => "asset.language",
            Reference::FileName => "file.name",
            Reference::FileStem => "file.stem",
            Reference::FileExtension => "file.extension",
            Reference::Group(name) => name,
        })
    }
}

impl Pattern {
    /// Parses. The error is half a sentence.
    pub fn parse(text: &str, names: Names<'_>) -> Result<Self, String> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(first);
                rest = &rest[2..];
            } else if first == '{' {
                let (inner, after) = rest[1..]
                    .split_once('}')
                    .ok_or_else(|| format!("{text:?} has a \"{{\" without \"}}\""))?;
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Reference(Reference::parse(inner, names)?));
                rest = after;
            } else {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Pattern { parts })
    }

    /// Its plain text, in parts.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Reference(_) => None,
        })
    }

    /// What it refers to.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Reference(reference) => Some(reference),
        })
    }

    /// Writes the text with every reference resolved; the first one that stands for nothing is the error.
    pub fn fill<'p>(
        &'p self,
        into: &mut String,
        mut resolve: impl FnMut(&Reference, &mut String) -> bool,
    ) -> Result<(), &'p Reference> {
        for part in &self.parts {
            match part {
                Part::Text(text) => into.push_str(text),
                Part::Reference(reference) => {
                    if !resolve(reference, into) {
                        return Err(reference);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Reference {
    /// What a name without braces stands for.
    pub fn parse(name: &str, names: Names<'_>) -> Result<Self, String> {
        let of_placement = match name {
            "file.name" => return Ok(Reference::FileName),
            "file.stem" => return Ok(Reference::FileStem),
            "file.extension" => return Ok(Reference::FileExtension),
            "market" => Some(Reference::Market),
            "language" => Some(Reference::Language),
            "channel" => Some(Reference::Channel),
            "piece" => Some(Reference::Piece),
            "asset.language" => Some(Reference::AssetLanguage),
            _ => None,
        };
        match of_placement {
            Some(Reference::Piece) if names.placement && !names.piece => {
                Err("{piece} needs a [piece] section that says what it is".to_owned())
            }
            Some(reference) if names.placement => Ok(reference),
            _ if names.groups.contains(name) => Ok(Reference::Group(name.to_owned())),
            _ => {
                let mut known: Vec<&str> = names.groups.iter().map(String::as_str).collect();
                known.extend(["file.name", "file.stem", "file.extension"]);
                if names.placement {
                    known.extend(["market", "language", "channel", "piece", "asset.language"]);
                }
                Err(format!(
                    "there is no {{{name}}}; there are: {}",
                    known.join(", ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> BTreeSet<String> {
        ["language", "motif"].map(str::to_owned).into()
    }

    fn parse(text: &str, placement: bool) -> Result<Pattern, String> {
        let groups = groups();
        let names = Names {
            placement,
            piece: false,
            groups: &groups,
        };
        Pattern::parse(text, names)
    }

    #[test]
    fn references_are_filled_and_doubled_braces_are_text() {
        let pattern = parse("{{{motif}}}_{market}.{file.extension}", true).unwrap();
        let mut filled = String::new();
        let done = pattern.fill(&mut filled, |reference, into| {
            into.push_str(&format!("<{reference}>"));
            true
        });
        assert_eq!(
            (done, &*filled),
            (Ok(()), "{<motif>}_<market>.<file.extension>")
        );
        let stopped = pattern.fill(&mut String::new(), |_, _| false);
        assert_eq!(stopped, Err(&Reference::Group("motif".to_owned())));
    }

    #[test]
    fn a_name_is_the_placements_where_there_is_one_and_else_a_group() {
        let first = |placement| {
            let pattern = parse("{language}", placement).unwrap();
            pattern.references().next().cloned()
        };
        assert_eq!(first(true), Some(Reference::Language));
        assert_eq!(first(false), Some(Reference::Group("language".to_owned())));
    }

    #[test]
    fn a_wrong_pattern_is_refused_in_words() {
        for (text, placement, why) in [
            (
                "{motiv}",
                true,
                "there is no {motiv}; there are: language, motif",
            ),
            ("{market}", false, "there is no {market}"),
            ("{piece}", true, "{piece} needs a [piece] section"),
            ("a{b", true, "has a \"{\" without"),
        ] {
            let error = parse(text, placement).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
