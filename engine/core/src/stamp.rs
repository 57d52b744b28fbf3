//! What a file at a sink says of where it came from, so that a ledger that was lost can be made again from the files.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Blake3, ContentHash, Digests};
use crate::error::Result;
use crate::metadata::{Correlation, Draft};

/// How many digits of a draft's digest are stamped.
const DRAFT_DIGITS: usize = 16;

/// A stamp: which revision of which source asset a file was made of, by which flow, of which bytes, and what it was to
/// become. As text it is one line of words, of ASCII, that begins with the mark that [`Correlation`] is; where there is
/// not room for all of it, the end is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    mark: String,
    made: Option<Made>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    origin: String,
    blake3: Blake3,
    draft: String,
    content: Option<ContentHash>,
}

impl Stamp {
    /// The length of its text in characters without the content hash, which not every sink needs.
    pub const UNITS: usize = 32 + 1 + 32 + 1 + 64 + 1 + DRAFT_DIGITS;

    /// The stamp of bytes that become what a draft says. Of a mark that an older version derived, which does not know
    /// its asset, it is the mark alone.
    ///
    /// Errors: those of [`Draft::digest`].
    pub fn new(correlation: &Correlation, digests: &Digests, draft: &Draft) -> Result<Stamp> {
        let made = match correlation.origin() {
            None => None,
            Some(origin) => Some(Made {
                origin: origin.to_owned(),
                blake3: digests.blake3,
                draft: short(&draft.digest()?),
                content: digests.content_hash,
            }),
        };
        let mark = correlation.as_str().to_owned();
        Ok(Stamp { mark, made })
    }

    /// The mark alone, of bytes about which nothing else is known.
    pub fn bare(correlation: &Correlation) -> Stamp {
        Stamp {
            mark: correlation.as_str().to_owned(),
            made: None,
        }
    }

    /// The same file, of which something else was made meanwhile. Errors: those of [`Draft::digest`].
    pub fn with_draft(mut self, draft: &Draft) -> Result<Stamp> {
        if let Some(made) = &mut self.made {
            made.draft = short(&draft.digest()?);
        }
        Ok(self)
    }

    /// Its texts, from the whole of it to the mark alone.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = vec![self.to_string()];
        if self
            .made
            .as_ref()
            .is_some_and(|made| made.content.is_some())
        {
            let mut shorter = self.clone();
            shorter.made.iter_mut().for_each(|made| made.content = None);
            texts.push(shorter.to_string());
        }
        if self.made.is_some() {
            texts.push(self.mark.clone());
        }
        texts
    }

    /// The mark.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Whether it is that of a revision, and not only of its asset.
    pub fn is_of(&self, correlation: &Correlation) -> bool {
        self.mark == correlation.as_str()
    }

    /// What names the source asset in its flow; see [`Correlation::origin`].
    pub fn origin(&self) -> Option<&str> {
        self.made.as_ref().map(|made| made.origin.as_str())
    }

    /// The digest of the bytes.
    pub fn blake3(&self) -> Option<Blake3> {
        self.made.as_ref().map(|made| made.blake3)
    }

    /// The block hash of the same bytes.
    pub fn content_hash(&self) -> Option<ContentHash> {
        self.made.as_ref()?.content
    }

    /// Whether the file became what a draft of this digest says.
    pub fn became(&self, draft: &Blake3) -> bool {
        let made = self.made.as_ref();
        made.is_some_and(|made| made.draft == short(draft))
    }
}

fn short(digest: &Blake3) -> String {
    digest.to_hex()[..DRAFT_DIGITS].to_owned()
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mark)?;
        let Some(made) = &self.made else {
            return Ok(());
        };
        let Made {
            origin,
            blake3,
            draft,
            content,
        } = made;
        write!(f, " {origin} {blake3} {draft}")?;
        match content {
            Some(content) => write!(f, " {content}"),
            None => Ok(()),
        }
    }
}

/// The text is no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoStamp;

impl FromStr for Stamp {
    type Err = NoStamp;

    fn from_str(text: &str) -> std::result::Result<Self, NoStamp> {
        let hex = |word: &str, digits: usize| {
            let all = word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (word.len() == digits && all)
                .then(|| word.to_owned())
                .ok_or(NoStamp)
        };
        let mut words = text.split(' ');
        let mark = hex(words.next().unwrap_or_default(), 32)?;
        let rest: Vec<&str> = words.collect();
        let made = match rest.as_slice() {
            [] => None,
            [origin, blake3, draft, content @ ..] => Some(Made {
                origin: hex(origin, 32)?,
                blake3: hex(blake3, 64)?.parse().map_err(|_| NoStamp)?,
                draft: hex(draft, DRAFT_DIGITS)?,
                content: match content {
                    [] => None,
                    [content] => Some(hex(content, 64)?.parse().map_err(|_| NoStamp)?),
                    _ => return Err(NoStamp),
                },
            }),
            _ => return Err(NoStamp),
        };
        Ok(Stamp { mark, made })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            handing: None,
            yields: BTreeSet::new(),
        }
    }

    fn digests() -> Digests {
        Digests {
            size: 5,
            blake3: Blake3::of(b"bytes"),
            content_hash: Some(ContentHash::of(b"bytes")),
        }
    }

    fn mark() -> Correlation {
        Correlation::derive("ingest", "agency", "id:1", "rev-1")
    }

    fn stamp() -> Stamp {
        Stamp::new(&mark(), &digests(), &draft("a.tif")).unwrap()
    }

    #[test]
    fn every_text_of_a_stamp_comes_back_as_what_it_says() {
        let texts = stamp().texts();
        let lengths: Vec<usize> = texts.iter().map(String::len).collect();
        assert_eq!(lengths, [Stamp::UNITS + 65, Stamp::UNITS, 32]);
        let read: Vec<Stamp> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(read[0], stamp());
        assert_eq!(read[2], Stamp::bare(&mark()));
        for (stamp, text) in read.iter().zip(&texts) {
            assert!(stamp.is_of(&mark()) && text.starts_with(mark().as_str()));
            assert_eq!(&stamp.to_string(), text);
        }
        let known: Vec<_> = read
            .iter()
            .map(|one| (one.blake3(), one.content_hash()))
            .collect();
        let (blake3, content) = (Blake3::of(b"bytes"), ContentHash::of(b"bytes"));
        assert_eq!(
            known,
            [
                (Some(blake3), Some(content)),
                (Some(blake3), None),
                (None, None)
            ]
        );
        let text = &texts[0];
        for other in [
            "",
            "x",
            &text.to_uppercase(),
            &format!("{text} "),
            &text[1..],
            &text[..40],
        ] {
            assert_eq!(other.parse::<Stamp>(), Err(NoStamp), "{other:?}");
        }
    }

    #[test]
    fn a_stamp_knows_its_asset_by_any_revision_and_its_own_by_name() {
        let second = Correlation::derive("ingest", "agency", "id:1", "rev-2");
        let stamp = stamp();
        assert_eq!(stamp.origin(), second.origin());
        assert!(stamp.is_of(&mark()) && !stamp.is_of(&second));
        for (flow, source, asset) in [
            ("other", "agency", "id:1"),
            ("ingest", "b", "id:1"),
            ("ingest", "agency", "id:2"),
        ] {
            let another = Correlation::derive(flow, source, asset, "rev-1");
            assert_ne!(stamp.origin(), another.origin());
        }
    }

    #[test]
    fn a_stamp_tells_what_its_file_became() {
        let stamp = stamp();
        let digest = |name| draft(name).digest().unwrap();
        assert!(stamp.became(&digest("a.tif")) && !stamp.became(&digest("b.tif")));
        assert!(
            stamp
                .with_draft(&draft("b.tif"))
                .unwrap()
                .became(&digest("b.tif"))
        );
        assert!(!Stamp::bare(&mark()).became(&digest("a.tif")));
    }

    #[test]
    fn a_mark_of_an_older_version_is_stamped_alone() {
        let text = "0123456789abcdef0123456789abcdef";
        let old: Correlation = serde_json::from_str(&format!("{text:?}")).unwrap();
        assert_eq!(old.as_str(), text);
        let stamp = Stamp::new(&old, &digests(), &draft("a")).unwrap();
        assert_eq!(stamp.to_string(), text);
    }
}
