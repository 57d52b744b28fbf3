//! What is wrong with an archive: counted in full, listed up to a bound, one sentence each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use windlass_core::Blake3;
use windlass_core::sealed::Seal;
use windlass_core::sign::PublicKey;

use super::check::Checked;
use crate::manifest::{Entry, ManifestHeader, Sums};

/// How many of each kind are listed. The rest is counted.
pub const LISTED_MAX: usize = 100;

/// How many missing files are kept with their digests, to find them under other names.
const MISSING_KEPT: usize = 10_000;

/// Something that is not as it was archived. In text one sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each has the path of a file, and `Display` says the rest"
)]
pub enum Trouble {
    /// A file is not there.
    Missing { path: String },
    /// A file has another number of bytes.
    Resized { path: String, was: u64, is: u64 },
    /// A file has other bytes.
    Changed { path: String },
    /// A file is there under another name.
    Renamed { path: String, to: String },
    /// A file is a link now.
    Replaced { path: String },
    /// A file cannot be read.
    Unreadable { path: String, why: String },
    /// A digest of the manifest is not that of the bytes, which BLAKE3 says are the right ones.
    Misstated { path: String, digests: String },
    /// What is known of an asset contradicts the manifest.
    Disagrees { path: String, how: String },
    /// Of some assets nothing is known.
    Undescribed { assets: u64 },
    /// A file is there that was not archived.
    Extra { path: String },
    /// A link is there; nothing in an archive is one.
    Link {
        path: String,
        target: String,
        leads_out: bool,
    },
    /// Something is there that is no file: a pipe, a device, a folder in a file's place.
    NoFile { path: String },
    /// A name is written in another case or normal form; its file is the right one.
    Respelled { path: String, found: String },
    /// A file manager left something behind.
    Litter { path: String },
}

/// What kinds of trouble there are, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the trouble of its name")]
pub enum TroubleKind {
    Missing,
    Resized,
    Changed,
    Replaced,
    Unreadable,
    Misstated,
    Disagrees,
    Undescribed,
    Renamed,
    Extra,
    Link,
    NoFile,
    Respelled,
    Litter,
}

impl TroubleKind {
    /// Whether nothing of the archive is lost or changed for it.
    pub fn is_harmless(self) -> bool {
        matches!(self, TroubleKind::Respelled | TroubleKind::Litter)
    }

    /// One word for it, in program output.
    pub fn word(self) -> &'static str {
        match self {
            TroubleKind::Missing => "missing",
            TroubleKind::Resized => "resized",
            TroubleKind::Changed => "changed",
            TroubleKind::Replaced => "replaced",
            TroubleKind::Unreadable => "unreadable",
            TroubleKind::Misstated => "misstated",
            TroubleKind::Disagrees => "disagrees",
            TroubleKind::Undescribed => "undescribed",
            TroubleKind::Renamed => "renamed",
            TroubleKind::Extra => "extra",
            TroubleKind::Link => "link",
            TroubleKind::NoFile => "no-file",
            TroubleKind::Respelled => "respelled",
            TroubleKind::Litter => "litter",
        }
    }

    /// What is said of those that are not listed: `3 more files …`.
    fn of_more(self) -> &'static str {
        match self {
            TroubleKind::Missing => "are missing",
            TroubleKind::Resized => "have another size",
            TroubleKind::Changed => "were changed",
            TroubleKind::Replaced => "are links now",
            TroubleKind::Unreadable => "cannot be read",
            TroubleKind::Misstated => "have digests that the manifest states wrongly",
            TroubleKind::Disagrees => "contradict the manifest",
            TroubleKind::Undescribed => "are of assets without metadata",
            TroubleKind::Renamed => "have other names",
            TroubleKind::Extra => "were not archived",
            TroubleKind::Link => "are links",
            TroubleKind::NoFile => "are no files",
            TroubleKind::Respelled => "have names in another case or normal form",
            TroubleKind::Litter => "were left behind by file managers",
        }
    }
}

impl Trouble {
    /// The file that it is about, where it is about one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Trouble::Missing { path }
            | Trouble::Resized { path, .. }
            | Trouble::Changed { path }
            | Trouble::Renamed { path, .. }
            | Trouble::Replaced { path }
            | Trouble::Unreadable { path, .. }
            | Trouble::Misstated { path, .. }
            | Trouble::Disagrees { path, .. }
            | Trouble::Extra { path }
            | Trouble::Link { path, .. }
            | Trouble::NoFile { path }
            | Trouble::Respelled { path, .. }
            | Trouble::Litter { path } => Some(path),
            Trouble::Undescribed { .. } => None,
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> TroubleKind {
        match self {
            Trouble::Missing { .. } => TroubleKind::Missing,
            Trouble::Resized { .. } => TroubleKind::Resized,
            Trouble::Changed { .. } => TroubleKind::Changed,
            Trouble::Replaced { .. } => TroubleKind::Replaced,
            Trouble::Unreadable { .. } => TroubleKind::Unreadable,
            Trouble::Misstated { .. } => TroubleKind::Misstated,
            Trouble::Disagrees { .. } => TroubleKind::Disagrees,
            Trouble::Undescribed { .. } => TroubleKind::Undescribed,
            Trouble::Renamed { .. } => TroubleKind::Renamed,
            Trouble::Extra { .. } => TroubleKind::Extra,
            Trouble::Link { .. } => TroubleKind::Link,
            Trouble::NoFile { .. } => TroubleKind::NoFile,
            Trouble::Respelled { .. } => TroubleKind::Respelled,
            Trouble::Litter { .. } => TroubleKind::Litter,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Missing { path } => write!(f, "{path:?} is missing"),
            Trouble::Resized { path, was, is } => {
                write!(f, "{path:?} has {is} bytes and was archived with {was}")
            }
            Trouble::Changed { path } => {
                write!(f, "{path:?} has other content than when it was archived")
            }
            Trouble::Renamed { path, to } => {
                write!(f, "{path:?} is missing, and {to:?} has its content")
            }
            Trouble::Replaced { path } => {
                write!(f, "{path:?} is a link now, which was not followed")
            }
            Trouble::Unreadable { path, why } => write!(f, "{path:?} cannot be read: {why}"),
            Trouble::Misstated { path, digests } => write!(
                f,
                "{path:?} has the archived BLAKE3, and the manifest states another {digests}"
            ),
            Trouble::Disagrees { path, how } => {
                write!(f, "{path:?} contradicts the manifest: {how}")
            }
            Trouble::Undescribed { assets: 1 } => f.write_str("an asset has files and no metadata"),
            Trouble::Undescribed { assets } => {
                write!(f, "{assets} assets have files and no metadata")
            }
            Trouble::Extra { path } => write!(f, "{path:?} was not archived"),
            Trouble::Link {
                path,
                target,
                leads_out,
            } => {
                let out = if *leads_out {
                    " outside the archive"
                } else {
                    ""
                };
                write!(
                    f,
                    "{path:?} is a link to {target:?}{out}, which was not followed"
                )
            }
            Trouble::NoFile { path } => write!(f, "{path:?} is no file"),
            Trouble::Respelled { path, found } => write!(
                f,
                "{path:?} is named {found:?} here, in another case or normal form"
            ),
            Trouble::Litter { path } => write!(f, "{path:?} was left behind by a file manager"),
        }
    }
}

/// Troubles of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many there are.
    pub total: u64,
    /// The first of them, at most [`LISTED_MAX`].
    pub first: Vec<Trouble>,
}

impl Listed {
    /// How many are not listed.
    pub fn more(&self) -> u64 {
        self.total - self.first.len() as u64
    }
}

/// Who signed an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Nobody.
    No,
    /// Keys of which none was asked for.
    ByOthers(Vec<PublicKey>),
    /// These of those that were asked for.
    By(Vec<PublicKey>),
}

impl Signed {
    pub(crate) fn of(seal: &Seal, signers: &[PublicKey]) -> Self {
        let wanted = seal.signed_by.iter().filter(|key| signers.contains(key));
        let wanted: Vec<PublicKey> = wanted.copied().collect();
        match (wanted.is_empty(), seal.signed_by.is_empty()) {
            (false, _) => Signed::By(wanted),
            (true, false) => Signed::ByOthers(seal.signed_by.clone()),
            (true, true) => Signed::No,
        }
    }
}

/// What was found of an archive whose manifest is as it was sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Of what it is.
    pub header: ManifestHeader,
    /// What it holds, by the manifest.
    pub sums: Sums,
    /// The digest of the manifest, and who signed it.
    pub seal: Seal,
    /// Who signed it, of those who were asked for.
    pub signed: Signed,
    /// Whether it had to be signed.
    pub signer_wanted: bool,
    /// How many files are as they were archived.
    pub intact: u64,
    /// How many bytes were read for it.
    pub bytes_read: u64,
    /// What is not as it was archived, by kind.
    pub troubles: BTreeMap<TroubleKind, Listed>,
}

impl Verified {
    /// Whether everything is as it was archived, and signed by whom it had to be.
    pub fn is_intact(&self) -> bool {
        self.is_signed() && self.troubles.keys().all(|kind| kind.is_harmless())
    }

    /// Whether it is signed by whom it had to be.
    pub fn is_signed(&self) -> bool {
        !self.signer_wanted || matches!(self.signed, Signed::By(_))
    }

    /// How many troubles of a kind there are.
    pub fn count(&self, kind: TroubleKind) -> u64 {
        self.troubles.get(&kind).map_or(0, |listed| listed.total)
    }

    /// A sentence without a full stop for each trouble, the worst first, and one for all that are not listed.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        match &self.signed {
            Signed::No if self.signer_wanted => sentences.push("nobody signed it".to_owned()),
            Signed::ByOthers(keys) if self.signer_wanted => {
                let keys: Vec<String> = keys.iter().map(PublicKey::to_string).collect();
                let keys = keys.join(" and ");
                sentences.push(format!("it is signed by {keys}, which nobody here trusts"));
            }
            _ => {}
        }
        for (kind, listed) in &self.troubles {
            sentences.extend(listed.first.iter().map(Trouble::to_string));
            if listed.more() > 0 {
                sentences.push(format!("{} more files {}", listed.more(), kind.of_more()));
            }
        }
        sentences
    }
}

/// Troubles while they are found.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    listed: BTreeMap<TroubleKind, Listed>,
    /// Missing files with what they held.
    missing: Vec<(String, u64, Blake3)>,
    missing_more: u64,
    /// Spellings that stand for entries.
    respelled: BTreeSet<String>,
}

impl Troubles {
    pub(super) fn add(&mut self, trouble: Trouble) {
        let listed = self.listed.entry(trouble.kind()).or_default();
        listed.total += 1;
        if listed.first.len() < LISTED_MAX {
            listed.first.push(trouble);
        }
    }

    /// Takes what became of an entry. Answers whether its file is as it was archived.
    pub(super) fn take(&mut self, entry: &Entry, checked: Checked) -> bool {
        match checked {
            Checked::Intact => true,
            Checked::Respelled(found) => {
                self.respelled.insert(found.clone());
                let path = entry.path.clone();
                self.add(Trouble::Respelled { path, found });
                true
            }
            Checked::Missing if self.missing.len() < MISSING_KEPT => {
                let digests = &entry.digests;
                let one = (entry.path.clone(), digests.size, digests.blake3);
                self.missing.push(one);
                false
            }
            Checked::Missing => {
                self.missing_more += 1;
                false
            }
            Checked::Wrong(trouble) => {
                self.add(trouble);
                false
            }
        }
    }

    /// Spellings under which files of the manifest were found.
    pub(super) fn respelled(&self) -> &BTreeSet<String> {
        &self.respelled
    }

    /// Missing files by what they held, those that come last in the manifest first.
    pub(super) fn missing_by_content(&self) -> BTreeMap<(u64, Blake3), Vec<String>> {
        let mut by_content: BTreeMap<(u64, Blake3), Vec<String>> = BTreeMap::new();
        for (path, size, blake3) in self.missing.iter().rev() {
            let paths = by_content.entry((*size, *blake3)).or_default();
            paths.push(path.clone());
        }
        by_content
    }

    /// Takes notice that a missing file is there under another name.
    pub(super) fn renamed(&mut self, path: String, to: String) {
        self.missing.retain(|(missing, ..)| *missing != path);
        self.add(Trouble::Renamed { path, to });
    }

    /// Counts files that were not kept by name.
    pub(super) fn extras_more(&mut self, more: u64) {
        if more > 0 {
            self.listed.entry(TroubleKind::Extra).or_default().total += more;
        }
    }

    /// Takes those of a walk.
    pub(super) fn merge(&mut self, other: Troubles) {
        for (kind, more) in other.listed {
            let listed = self.listed.entry(kind).or_default();
            listed.total += more.total;
            listed.first.extend(more.first);
            listed.first.truncate(LISTED_MAX);
        }
    }

    /// All of them, with those that are missing for good.
    pub(super) fn listed(mut self) -> BTreeMap<TroubleKind, Listed> {
        let missing = std::mem::take(&mut self.missing);
        for (path, ..) in missing {
            self.add(Trouble::Missing { path });
        }
        if self.missing_more > 0 {
            let listed = self.listed.entry(TroubleKind::Missing).or_default();
            listed.total += self.missing_more;
        }
        self.listed
    }
}
