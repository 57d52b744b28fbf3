//! Matching text by words, the way search filters mean it.
//!
//! Words are runs of letters and digits, compared without case. A phrase is words in a row, so
//! `"CMP-0142"` also finds `"Draft CMP-0142 v2"`: a hit is not yet an equal value.

use serde::Deserialize;

use super::error::{ApiError, Result};

/// `searchType` of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum SearchType {
    /// Words in a row.
    Phrase,
    /// Whole words in any order.
    #[default]
    Terms,
    /// Beginnings of words.
    TermsStartingWith,
    /// Ends of words.
    TermsEndingWith,
}

/// `searchOperator` of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum SearchOperator {
    /// Every word must be found.
    #[default]
    And,
    /// One is enough.
    Or,
}

/// A text to look for.
#[derive(Clone, Debug)]
pub(super) struct TextQuery {
    words: Vec<String>,
    kind: SearchType,
    operator: SearchOperator,
}

impl TextQuery {
    /// Refuses a text without a single word: it would match everything or nothing.
    pub(super) fn new(text: &str, kind: SearchType, operator: SearchOperator) -> Result<Self> {
        let words = words(text);
        if words.is_empty() {
            let message = format!("{text:?} has no word to look for");
            return Err(ApiError::argument("text", "EMPTY", message));
        }
        Ok(TextQuery {
            words,
            kind,
            operator,
        })
    }

    /// Whether the texts, taken together, match. A phrase must lie within one of them.
    pub(super) fn matches<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let texts: Vec<Vec<String>> = texts.into_iter().map(words).collect();
        let within = |wanted: &String, hit: fn(&str, &str) -> bool| {
            texts.iter().flatten().any(|word| hit(word, wanted))
        };
        let hit: fn(&str, &str) -> bool = match self.kind {
            SearchType::Phrase => {
                return texts
                    .iter()
                    .any(|text| text.windows(self.words.len()).any(|run| run == self.words));
            }
            SearchType::Terms => |word, wanted| word == wanted,
            SearchType::TermsStartingWith => |word, wanted| word.starts_with(wanted),
            SearchType::TermsEndingWith => |word, wanted| word.ends_with(wanted),
        };
        match self.operator {
            SearchOperator::And => self.words.iter().all(|wanted| within(wanted, hit)),
            SearchOperator::Or => self.words.iter().any(|wanted| within(wanted, hit)),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let runs = text.split(|c: char| !c.is_alphanumeric());
    runs.filter(|run| !run.is_empty())
        .map(str::to_lowercase)
        .collect()
}
