//! Path templates: how the folders above a file are read.
//!
//! ```text
//! template  = "/" part { "/" part }
//! part      = "**"                      any number of whole folders, none included
//!           | "{" name ":**}"           the same, kept: only as the last part
//!           | piece { piece }           one folder
//! piece     = text                      literally; {{ and }} are braces
//!           | "*"                       any characters within the folder's name, none included
//!           | "{" name "}"              one character or more, as few as fit, kept
//!           | "{" name ":" regex "}"    what the expression matches, kept; braces in it in pairs
//! ```
//!
//! A template fits if it accounts for every folder of the path; text and expressions ignore ASCII case
//! unless told otherwise. Expressions are those of the `regex-lite` crate: no look-around, no
//! backtracking, classes such as `\d` and `\w` are ASCII.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};

/// Parts of one template; enough for any real tree, and a bound on what matching can cost.
const PARTS_MAX: usize = 32;

/// Compiled size of one part's expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 18;

/// What a template took from a path, by name.
pub type Captures = BTreeMap<String, String>;

/// One template, parsed and compiled.
#[derive(Debug)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
    names: Vec<String>,
}

#[derive(Debug)]
enum Part {
    /// `**`, and the name that keeps it.
    Folders(Option<String>),
    /// A folder matched whole by one name, without an expression.
    Whole(String),
    /// A folder of this very name.
    Text { text: String, ignore_case: bool },
    /// A folder matched by an expression; the names with their groups.
    Regex {
        regex: Regex,
        names: Vec<(usize, String)>,
    },
}

/// A piece of one part, as written.
enum Piece {
    Text(String),
    Star,
    Name(String, Option<String>),
}

impl Template {
    /// Parses and compiles. The error is one sentence about the template.
    pub fn parse(text: &str, ignore_case: bool) -> Result<Self, String> {
        let inner = text
            .strip_prefix('/')
            .ok_or("a template starts with \"/\"")?;
        let mut template = Template {
            text: text.to_owned(),
            parts: Vec::new(),
            names: Vec::new(),
        };
        let parts = split_parts(inner)?;
        if parts.len() > PARTS_MAX {
            return Err(format!("a template has at most {PARTS_MAX} parts"));
        }
        let last = parts.len() - 1;
        for (index, part) in parts.iter().enumerate() {
            let part = template.parse_part(part, ignore_case)?;
            if matches!(part, Part::Folders(Some(_))) && index != last {
                return Err("a kept rest {name:**} must be the last part".to_owned());
            }
            template.parts.push(part);
        }
        Ok(template)
    }

    /// The template as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names that it may keep, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What the template takes from these folders; the error is how many of them it could account for.
    pub fn matches(&self, folders: &[&str]) -> Result<Captures, usize> {
        let mut walk = Walk {
            parts: &self.parts,
            folders,
            kept: vec![Vec::new(); self.parts.len()],
            dead: vec![false; (self.parts.len() + 1) * (folders.len() + 1)],
            reached: 0,
        };
        match walk.on(0, 0) {
            true => Ok(walk.kept.into_iter().flatten().collect()),
            false => Err(walk.reached),
        }
    }

    fn parse_part(&mut self, part: &str, ignore_case: bool) -> Result<Part, String> {
        if part.is_empty() {
            return Err("a template has no empty part".to_owned());
        }
        if part == "**" {
            return Ok(Part::Folders(None));
        }
        let pieces = pieces(part)?;
        for piece in &pieces {
            if let Piece::Name(name, _) = piece {
                if self.names.contains(name) {
                    return Err(format!("{{{name}}} is kept twice"));
                }
                self.names.push(name.clone());
            }
        }
        match pieces.as_slice() {
            [Piece::Name(name, Some(regex))] if regex == "**" => {
                Ok(Part::Folders(Some(name.clone())))
            }
            [Piece::Name(name, None)] => Ok(Part::Whole(name.clone())),
            [Piece::Text(text)] => Ok(Part::Text {
                text: text.clone(),
                ignore_case,
            }),
            pieces => compile(pieces, ignore_case),
        }
    }
}

/// One attempt to fit a template on a path.
struct Walk<'a> {
    parts: &'a [Part],
    folders: &'a [&'a str],
    /// What each part kept when it was last tried: on success, that was the try that counts.
    kept: Vec<Vec<(String, String)>>,
    /// Positions already known not to lead to a match, so that several `**` stay cheap.
    dead: Vec<bool>,
    /// The most folders that were accounted for.
    reached: usize,
}

impl Walk<'_> {
    /// Tries to fit the parts from `part` on the folders from `folder` on.
    fn on(&mut self, part: usize, folder: usize) -> bool {
        self.reached = self.reached.max(folder);
        let Some(pattern) = self.parts.get(part) else {
            return folder == self.folders.len();
        };
        let slot = part * (self.folders.len() + 1) + folder;
        if self.dead[slot] {
            return false;
        }
        let fits = match pattern {
            Part::Folders(name) => (folder..=self.folders.len()).any(|end| {
                if let Some(name) = name {
                    self.kept[part] = vec![(name.clone(), self.folders[folder..end].join("/"))];
                }
                self.on(part + 1, end)
            }),
            pattern => match self
                .folders
                .get(folder)
                .and_then(|name| pattern.keeps(name))
            {
                Some(kept) => {
                    self.kept[part] = kept;
                    self.on(part + 1, folder + 1)
                }
                None => false,
            },
        };
        self.dead[slot] = !fits;
        fits
    }
}

impl Part {
    /// What a part for one folder keeps of its name; `None` if it does not fit.
    fn keeps(&self, folder: &str) -> Option<Vec<(String, String)>> {
        match self {
            Part::Folders(_) => None,
            Part::Whole(name) => Some(vec![(name.clone(), folder.to_owned())]),
            Part::Text { text, ignore_case } => {
                let fits = match ignore_case {
                    true => text.eq_ignore_ascii_case(folder),
                    false => text == folder,
                };
                fits.then(Vec::new)
            }
            Part::Regex { regex, names } => {
                let groups = regex.captures(folder)?;
                let kept = names.iter().filter_map(|(group, name)| {
                    let group = groups.get(*group)?;
                    Some((name.clone(), group.as_str().to_owned()))
                });
                Some(kept.collect())
            }
        }
    }
}

/// How our own groups are named: no operator's expression is likely to; a clash is an error.
const GROUP_PREFIX: &str = "windlass_";

fn compile(pieces: &[Piece], ignore_case: bool) -> Result<Part, String> {
    let (mut expression, mut names) = (String::from("^"), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Text(text) => expression.push_str(&regex_lite::escape(text)),
            Piece::Star => expression.push_str("(?:.*?)"),
            Piece::Name(name, regex) => {
                let regex = regex.as_deref().unwrap_or(".+?");
                // Alone first, so that no unpaired bracket can reach over its group's end.
                build(regex, ignore_case).map_err(|e| format!("{{{name}:{regex}}}: {e}"))?;
                let group = format!("{GROUP_PREFIX}{}", names.len());
                expression.push_str(&format!("(?P<{group}>{regex})"));
                names.push(name.clone());
            }
        }
    }
    expression.push('$');
    let regex = build(&expression, ignore_case)?;
    // Our groups by number: an operator's expression may have groups of its own in between.
    let ours = |group: &Option<&str>| group.is_some_and(|name| name.starts_with(GROUP_PREFIX));
    let groups = regex
        .capture_names()
        .enumerate()
        .filter(|(_, group)| ours(group));
    let names = groups.map(|(number, _)| number).zip(names).collect();
    Ok(Part::Regex { regex, names })
}

fn build(expression: &str, ignore_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| e.to_string())
}

/// Cuts at slashes outside of braces.
fn split_parts(text: &str) -> Result<Vec<String>, String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0usize);
    let (mut escaped, mut characters) = (false, text.chars().peekable());
    while let Some(c) = characters.next() {
        let doubled = depth == 0 && matches!(c, '{' | '}') && characters.peek() == Some(&c);
        match c {
            '/' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            // A literal brace: both go on to the pieces.
            _ if doubled => part.extend(characters.next()),
            '{' if !escaped => depth += 1,
            '}' if !escaped => depth = depth.checked_sub(1).ok_or("a \"}\" without its \"{\"")?,
            _ => {}
        }
        escaped = c == '\\' && !escaped && depth > 0;
        part.push(c);
    }
    if depth > 0 {
        return Err("a \"{\" without its \"}\"".to_owned());
    }
    parts.push(part);
    Ok(parts)
}

fn pieces(part: &str) -> Result<Vec<Piece>, String> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("{{") || rest.starts_with("}}") {
            push_text(&mut pieces, first);
            rest = &rest[2..];
        } else if first == '{' {
            let end = closing_brace(rest).ok_or("a \"{\" without its \"}\"")?;
            pieces.push(named(&rest[1..end])?);
            rest = &rest[end + 1..];
        } else {
            match first {
                '*' => pieces.push(Piece::Star),
                other => push_text(&mut pieces, other),
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, c: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(c),
        _ => pieces.push(Piece::Text(c.to_string())),
    }
}

/// Where the brace that opens `text` is closed; `\{` and `\}` inside do not count.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut escaped) = (0usize, false);
    for (index, c) in text.char_indices() {
        match c {
            '{' if !escaped => depth += 1,
            '}' if !escaped && depth == 1 => return Some(index),
            '}' if !escaped => depth -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn named(inner: &str) -> Result<Piece, String> {
    let (name, regex) = match inner.split_once(':') {
        Some((name, regex)) => (name, Some(regex.to_owned())),
        None => (inner, None),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(word) {
        return Err(format!(
            "{{{inner}}}: a name has letters, digits, \"_\" and \"-\" only"
        ));
    }
    if regex.as_deref() == Some("") {
        return Err(format!("{{{inner}}}: the expression is empty"));
    }
    Ok(Piece::Name(name.to_owned(), regex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Template {
        Template::parse(text, true).unwrap()
    }

    fn taken(template: &str, path: &str) -> Result<Vec<(String, String)>, usize> {
        let folders: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        parse(template)
            .matches(&folders)
            .map(|captures| captures.into_iter().collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, usize> {
        Ok(expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect())
    }

    #[test]
    fn several_names_share_one_folder() {
        let template = r"/{client}/{campaign:CMP-\d+}-{name}/{year:\d{4}}/**";
        let given = taken(template, "/ACME/CMP-104-Summer-Sun/2026/final/print");
        let wanted = [
            ("campaign", "CMP-104"),
            ("client", "ACME"),
            ("name", "Summer-Sun"),
            ("year", "2026"),
        ];
        assert_eq!(given, pairs(&wanted));
        assert_eq!(taken(template, "/ACME/CMP-104-Summer/26/x"), Err(2));
        assert_eq!(taken(template, "/ACME"), Err(1));
    }

    #[test]
    fn stars_stay_within_a_folder_and_double_stars_do_not() {
        assert_eq!(taken("/{a}_*/x", "/one_two/x"), pairs(&[("a", "one")]));
        assert_eq!(taken("/*/x", "/one/two/x"), Err(1));
        assert_eq!(taken("/**/final/**", "/a/b/final"), pairs(&[]));
        assert_eq!(taken("/**/{last}", "/a/b/c"), pairs(&[("last", "c")]));
        assert_eq!(taken("/**", ""), pairs(&[]));
    }

    #[test]
    fn a_kept_rest_is_joined_and_may_be_empty() {
        assert_eq!(taken("/a/{rest:**}", "/a/b/c"), pairs(&[("rest", "b/c")]));
        assert_eq!(taken("/a/{rest:**}", "/a"), pairs(&[("rest", "")]));
        assert!(Template::parse("/{rest:**}/a", true).is_err());
    }

    #[test]
    fn text_is_literal_and_case_is_ignored_on_request() {
        assert_eq!(taken("/a.b {{x}}", "/A.B {x}"), pairs(&[]));
        assert!(taken("/a.b", "/axb").is_err());
        let strict = Template::parse("/Final", false).unwrap();
        assert!(strict.matches(&["final"]).is_err() && strict.matches(&["Final"]).is_ok());
    }

    #[test]
    fn many_double_stars_on_a_deep_path_stay_cheap() {
        let template = format!("/{}x", "**/".repeat(30));
        let folders = vec!["a"; 300];
        assert!(parse(&template).matches(&folders).is_err());
    }

    #[test]
    fn a_wrong_template_is_refused_in_words() {
        for (text, why) in [
            ("client", "starts with"),
            ("/a//b", "no empty part"),
            ("/{client", "without its"),
            ("/client}", "without its"),
            ("/{a}/{a}", "kept twice"),
            ("/{a b}", "letters, digits"),
            ("/{a:}", "expression is empty"),
            ("/{a:(}x", "{a:(}"),
            ("/{a:)(}x", "{a:)(}"),
        ] {
            let error = Template::parse(text, true).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
