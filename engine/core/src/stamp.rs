//! What a file at a sink says of where it came from, so that a ledger that was lost can be made again from the files.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Blake3, Digests};
use crate::error::Result;
use crate::metadata::{Correlation, Draft};

/// How many digits of a draft's digest are stamped.
const DRAFT_DIGITS: usize = 16;

/// A stamp: which revision of which source asset a file was made of, by which flow, of which bytes, and what it was to
/// become. As text it is one line of four words, [`Stamp::UNITS`] long, beginning with the mark that [`Correlation`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    mark: String,
    origin: String,
    blake3: Blake3,
    draft: String,
}

impl Stamp {
    /// The length of its text in characters, all of them ASCII.
    pub const UNITS: usize = 32 + 1 + 32 + 1 + 64 + 1 + DRAFT_DIGITS;

    /// The stamp of bytes that become what a draft says. `None` for a mark that an older version derived, which does
    /// not know its asset.
    ///
    /// Errors: those of [`Draft::digest`].
    pub fn new(
        correlation: &Correlation,
        digests: &Digests,
        draft: &Draft,
    ) -> Result<Option<Stamp>> {
        let Some(origin) = correlation.origin() else {
            return Ok(None);
        };
        Ok(Some(Stamp {
            mark: correlation.as_str().to_owned(),
            origin: origin.to_owned(),
            blake3: digests.blake3,
            draft: short(&draft.digest()?),
        }))
    }

    /// The same file, of which something else was made meanwhile. Errors: those of [`Draft::digest`].
    pub fn with_draft(self, draft: &Draft) -> Result<Stamp> {
        Ok(Stamp {
            draft: short(&draft.digest()?),
            ..self
        })
    }

    /// Whether it is that of a revision, and not only of its asset.
    pub fn is_of(&self, correlation: &Correlation) -> bool {
        self.mark == correlation.as_str()
    }

    /// What names the source asset in its flow; see [`Correlation::origin`].
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The digest of the bytes.
    pub fn blake3(&self) -> Blake3 {
        self.blake3
    }

    /// Whether the file became what a draft of this digest says.
    pub fn became(&self, draft: &Blake3) -> bool {
        self.draft == short(draft)
    }
}

fn short(digest: &Blake3) -> String {
    digest.to_hex()[..DRAFT_DIGITS].to_owned()
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp {
            mark,
            origin,
            blake3,
            draft,
        } = self;
        write!(f, "{mark} {origin} {blake3} {draft}")
    }
}

/// The text is no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoStamp;

impl FromStr for Stamp {
    type Err = NoStamp;

    fn from_str(text: &str) -> std::result::Result<Self, NoStamp> {
        let is_hex = |word: &str, digits: usize| {
            word.len() == digits && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            [mark, origin, blake3, draft]
                if is_hex(mark, 32)
                    && is_hex(origin, 32)
                    && is_hex(blake3, 64)
                    && is_hex(draft, DRAFT_DIGITS) =>
            {
                Ok(Stamp {
                    mark: (*mark).to_owned(),
                    origin: (*origin).to_owned(),
                    blake3: blake3.parse().map_err(|_| NoStamp)?,
                    draft: (*draft).to_owned(),
                })
            }
            _ => Err(NoStamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AssetPath;

    fn draft(name: &str) -> Draft {
        Draft {
            name: name.to_owned(),
            file_name: name.to_owned(),
            collection: AssetPath::new("/library"),
            asset_type: None,
            fields: Vec::new(),
            availability: None,
        }
    }

    fn digests() -> Digests {
        Digests {
            size: 5,
            blake3: Blake3::of(b"bytes"),
            content_hash: None,
        }
    }

    #[test]
    fn a_stamp_is_a_line_of_known_length_and_comes_back() {
        let mark = Correlation::derive("ingest", "agency", "id:1", "rev-1");
        let stamp = Stamp::new(&mark, &digests(), &draft("a.tif"))
            .unwrap()
            .unwrap();
        let text = stamp.to_string();
        assert_eq!(text.len(), Stamp::UNITS);
        assert!(text.starts_with(mark.as_str()));
        assert_eq!(text.parse(), Ok(stamp.clone()));
        assert_eq!(stamp.blake3(), Blake3::of(b"bytes"));
        for other in [
            "",
            "x",
            mark.as_str(),
            &text.to_uppercase(),
            &format!("{text} "),
            &text[1..],
        ] {
            assert_eq!(other.parse::<Stamp>(), Err(NoStamp), "{other:?}");
        }
    }

    #[test]
    fn a_stamp_knows_its_asset_by_any_revision_and_its_own_by_name() {
        let first = Correlation::derive("ingest", "agency", "id:1", "rev-1");
        let second = Correlation::derive("ingest", "agency", "id:1", "rev-2");
        let stamp = Stamp::new(&first, &digests(), &draft("a.tif"))
            .unwrap()
            .unwrap();
        assert_eq!(Some(stamp.origin()), second.origin());
        assert!(stamp.is_of(&first) && !stamp.is_of(&second));
        for (flow, source, asset) in [
            ("other", "agency", "id:1"),
            ("ingest", "b", "id:1"),
            ("ingest", "agency", "id:2"),
        ] {
            let another = Correlation::derive(flow, source, asset, "rev-1");
            assert_ne!(Some(stamp.origin()), another.origin());
        }
    }

    #[test]
    fn a_stamp_tells_what_its_file_became() {
        let mark = Correlation::derive("ingest", "agency", "id:1", "rev-1");
        let stamp = Stamp::new(&mark, &digests(), &draft("a.tif"))
            .unwrap()
            .unwrap();
        assert!(stamp.became(&draft("a.tif").digest().unwrap()));
        assert!(!stamp.became(&draft("b.tif").digest().unwrap()));
        let renamed = stamp.with_draft(&draft("b.tif")).unwrap();
        assert!(renamed.became(&draft("b.tif").digest().unwrap()));
    }

    #[test]
    fn a_mark_of_an_older_version_makes_no_stamp() {
        let old: Correlation =
            serde_json::from_str("\"0123456789abcdef0123456789abcdef\"").unwrap();
        assert_eq!(old.as_str(), "0123456789abcdef0123456789abcdef");
        assert_eq!(Stamp::new(&old, &digests(), &draft("a")).unwrap(), None);
    }
}
