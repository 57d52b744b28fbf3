//! The file of decisions about values that the other side does not have.
//!
//! ```toml
//! [keywords]                        # a field
//! "Jalapeno" = "Jalapeño"           # stands for this entry
//! "Nightlife" = { new = true }      # becomes a new entry
//! "intern" = { leave_out = true }
//! "Sommer" = ""                     # nothing decided yet: files with it are held
//! ```

use std::fs;
use std::path::Path;

use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};
use windlass_core::{Choice, Choices, Error, Kind, Result, fold_key};
use windlass_flow::MissingValue;

use crate::files;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Entry(String),
    Other(Other),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    #[serde(default)]
    new: bool,
    #[serde(default)]
    leave_out: bool,
}

/// Reads decisions. A file that is not there has none.
pub(crate) fn read(file: &Path) -> Result<Choices> {
    let problem =
        |message: String| Error::new(Kind::Config, message).with_context("file", file.display());
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Choices::default());
        }
        Err(error) => {
            return Err(problem("the vocabulary file cannot be read".to_owned()).with_source(error));
        }
    };
    let fields: toml::Table = toml::from_str(&text).map_err(|error: toml::de::Error| {
        problem(format!(
            "the vocabulary file is not TOML: {}",
            error.message()
        ))
    })?;
    let mut choices = Choices::default();
    for (field, values) in fields {
        let values = values.as_table().cloned().ok_or_else(|| {
            problem(format!("{field:?} is no table of values"))
                .with_hint("write [FIELD] above them")
        })?;
        for (name, written) in values {
            let decision = match written.try_into() {
                Ok(Written::Entry(entry)) if entry.trim().is_empty() => continue,
                Ok(Written::Entry(entry)) => Choice::Entry(entry),
                Ok(Written::Other(Other {
                    new: true,
                    leave_out: false,
                })) => Choice::New,
                Ok(Written::Other(Other {
                    new: false,
                    leave_out: true,
                })) => Choice::LeaveOut,
                _ => {
                    return Err(problem(format!(
                        "nothing can be decided so about {name:?} of {field:?}"
                    ))
                    .with_hint("an entry's name, { new = true } or { leave_out = true }"));
                }
            };
            if !choices.insert(&field, &name, decision) {
                return Err(problem(format!("{name:?} of {field:?} is decided twice"))
                    .with_hint("values that differ only in case are one"));
            }
        }
    }
    Ok(choices)
}

/// Adds values that nothing was decided about, each with what is known of it. Answers how many were added; what is
/// there stays as it is written.
pub(crate) fn add<'a>(
    file: &Path,
    missing: impl Iterator<Item = (&'a (String, String), &'a MissingValue)>,
) -> Result<usize> {
    let before = match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(
                Error::new(Kind::Denied, "the vocabulary file cannot be read")
                    .with_context("file", file.display())
                    .with_source(error),
            );
        }
    };
    let text = before.as_deref().unwrap_or_default();
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Error::new(
            Kind::Config,
            format!("the vocabulary file is not TOML: {}", error.message()),
        )
        .with_context("file", file.display())
    })?;
    let mut added = 0;
    for ((field, folded), missing) in missing {
        let item = document
            .entry(field)
            .or_insert_with(|| Item::Table(Table::new()));
        // A comment would end a table that is written in one line.
        if let Some(inline) = item.as_inline_table() {
            *item = Item::Table(inline.clone().into_table());
        }
        let Some(table) = item.as_table_like_mut() else {
            continue;
        };
        if table
            .iter()
            .any(|(name, _)| fold_key(name.trim()) == *folded)
        {
            continue;
        }
        let mut undecided = value("");
        if let Some(undecided) = undecided.as_value_mut() {
            undecided
                .decor_mut()
                .set_suffix(format!("  # {}", told(missing)));
        }
        table.insert(&missing.name, undecided);
        added += 1;
    }
    if added == 0 {
        return Ok(0);
    }
    let head = if before.is_none() { HEAD } else { "" };
    let after = format!("{head}{document}");
    files::replace(file, before.as_deref(), &after, "the vocabulary file")?;
    Ok(added)
}

const HEAD: &str = "# What values stand for that the other side does not have: the name or path of an entry, \
                    { new = true }\n# or { leave_out = true }. Files with a value about which nothing is decided are \
                    held.\n\n";

/// What is known of a missing value, in one line.
pub(crate) fn told(missing: &MissingValue) -> String {
    let files = crate::text::files(missing.assets);
    let near = missing.nearest.as_ref();
    // In a comment, where a line break would end it.
    let near = near.map(|near| format!("; nearest is {:?}", near.replace(char::is_control, " ")));
    let new = match missing.creatable {
        true => "; may be new",
        false => "",
    };
    format!("{files}{}{new}", near.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(name: &str, nearest: Option<&str>) -> MissingValue {
        MissingValue {
            name: name.to_owned(),
            assets: 2,
            nearest: nearest.map(str::to_owned),
            creatable: true,
        }
    }

    #[test]
    fn what_is_added_is_undecided_until_somebody_decides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vocabulary.toml");
        assert_eq!(read(&file).unwrap(), Choices::default());
        let key = |value: &str| ("keywords".to_owned(), fold_key(value.trim()));
        let (odd, chili) = (key("odd \"one\"\n"), key("Jalapeno"));
        let of_odd = missing("odd \"one\"\n", None);
        let of_chili = missing("Jalapeno", Some("Jalapeño"));
        let all = [(&odd, &of_odd), (&chili, &of_chili)];
        assert_eq!(add(&file, all.into_iter()).unwrap(), 2);
        assert_eq!(add(&file, all.into_iter()).unwrap(), 0);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# What values stand for"), "{text}");
        let line = "Jalapeno = \"\"  # 2 files; nearest is \"Jalapeño\"; may be new";
        assert!(text.contains(line), "{text}");
        assert_eq!(read(&file).unwrap(), Choices::default());

        let decided = text.replace("Jalapeno = \"\"", "Jalapeno = \"Jalapeño\"");
        fs::write(&file, &decided).unwrap();
        let choices = read(&file).unwrap();
        let entry = Choice::Entry("Jalapeño".to_owned());
        assert_eq!(choices.get("keywords", "JALAPENO"), Some(&entry));
        assert_eq!(add(&file, all.into_iter()).unwrap(), 0);
        assert_eq!(fs::read_to_string(&file).unwrap(), decided);
    }

    #[test]
    fn a_table_in_one_line_is_added_to_and_another_spelling_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vocabulary.toml");
        fs::write(&file, "keywords = { \"Vidéo\" = \"Video\" }\n").unwrap();
        let keys = ["vidéo", "nightlife"].map(|value| ("keywords".to_owned(), value.to_owned()));
        let values = ["VIDÉO", "NightLife"].map(|name| missing(name, None));
        assert_eq!(add(&file, keys.iter().zip(&values)).unwrap(), 1);
        let choices = read(&file).unwrap();
        let entry = Choice::Entry("Video".to_owned());
        assert_eq!(choices.get("keywords", "vidéo"), Some(&entry));
        assert!(
            fs::read_to_string(&file)
                .unwrap()
                .contains("NightLife = \"\"")
        );
    }

    #[test]
    fn a_decision_that_is_none_is_refused_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vocabulary.toml");
        for (text, part) in [
            ("keywords = 1", "no table"),
            ("[keywords]\na = 1", "about \"a\""),
            (
                "[keywords]\na = { new = true, leave_out = true }",
                "about \"a\"",
            ),
            ("[keywords]\na = { other = true }", "about \"a\""),
            ("[keywords]\na = \"b\"\nA = \"c\"", "decided twice"),
            ("[", "not TOML"),
        ] {
            fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }
}
