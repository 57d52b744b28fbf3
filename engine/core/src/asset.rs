//! What a listing speaks of: assets, their revisions and paths, and pages of changes.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::ContentHash;
use crate::names::fold_key;

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as the endpoint gave it.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                $name(text.into())
            }

            /// The text as the endpoint gave it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

opaque! {
    /// An endpoint's own identity of an asset. It survives renames where the endpoint has real ids.
    AssetId
}
opaque! {
    /// One immutable content of an asset. Opaque; equal revisions mean equal bytes.
    Revision
}
opaque! {
    /// Where a listing stands. Opaque, bound to its endpoint and scope; of unbounded length.
    Cursor
}

/// Where an asset is shown: absolute, `/`-separated, in the case and form the endpoint displays.
///
/// The root is the empty path. Two paths that an endpoint treats as the same may differ here;
/// compare [`AssetPath::key`] or, better, ids.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssetPath(Arc<str>);

impl AssetPath {
    /// Takes a path with or without its leading slash; a trailing slash is dropped.
    pub fn new(text: &str) -> Self {
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return AssetPath(Arc::from(""));
        }
        AssetPath(format!("/{trimmed}").into())
    }

    /// The path with its leading slash, or the empty text for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that holds this path; the root's parent is the root.
    pub fn parent(&self) -> AssetPath {
        let end = self.0.rfind('/').unwrap_or(0);
        AssetPath(Arc::from(&self.0[..end]))
    }

    /// The segments from the root down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The text after the last dot of the name, lower-cased; empty without one or for dot files.
    pub fn extension(&self) -> String {
        match self.name().rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => extension.to_lowercase(),
            _ => String::new(),
        }
    }

    /// This path with one more segment.
    pub fn join(&self, segment: &str) -> AssetPath {
        let segment = segment.trim_matches('/');
        if segment.is_empty() {
            return self.clone();
        }
        let mut path = String::with_capacity(self.0.len() + 1 + segment.len());
        path.push_str(&self.0);
        path.push('/');
        path.push_str(segment);
        AssetPath(path.into())
    }

    /// This path, then the same with a number before the extension, `name (2).ext` and so on: what is tried where
    /// something else has the name. Without end.
    pub fn numbered(&self) -> impl Iterator<Item = AssetPath> + Send + use<> {
        let folder = self.parent();
        let (stem, extension) = match self.name().rfind('.') {
            Some(dot) if dot > 0 => self.name().split_at(dot),
            _ => (self.name(), ""),
        };
        let (stem, extension) = (stem.to_owned(), extension.to_owned());
        let rest = (2u32..).map(move |n| folder.join(&format!("{stem} ({n}){extension}")));
        std::iter::once(self.clone()).chain(rest)
    }

    /// The path as an id, for endpoints that have no other. Shares the text.
    pub fn as_id(&self) -> AssetId {
        AssetId(Arc::clone(&self.0))
    }

    /// The folded form under which two spellings of one name collide: NFC, then lower case.
    pub fn key(&self) -> String {
        fold_key(&self.0)
    }
}

impl fmt::Display for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Debug for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Whether an asset's bytes can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readable {
    /// Yes, as stored.
    #[default]
    Yes,
    /// Only through an export that changes the bytes (cloud documents).
    NeedsExport,
    /// Not for this credential, or blocked by law or policy.
    Restricted,
}

/// One file at an endpoint, at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Identity at its endpoint.
    pub id: AssetId,
    /// Where it is shown.
    pub path: AssetPath,
    /// Which bytes it has.
    pub revision: Revision,
    /// Number of bytes.
    pub size: u64,
    /// When its content last changed, as its owner says; never a change detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// The block hash of its bytes, where the listing states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<ContentHash>,
    /// Labels that people put on it, lower-cased. Empty until asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether its bytes can be read.
    #[serde(default)]
    pub readable: Readable,
}

/// One folder at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Identity at its endpoint.
    pub id: AssetId,
    /// Where it is shown.
    pub path: AssetPath,
}

/// One entry of a listing or of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The asset is there, as described.
    Asset(Asset),
    /// The folder is there.
    Folder(Folder),
    /// Nothing is there any more; what was below is gone too.
    Removed(AssetPath),
}

/// One page of changes. Apply its entries strictly in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// What changed since the cursor; may be empty while `more` is true.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub cursor: Cursor,
    /// True while further pages wait; loop on this, never on the page's length.
    pub more: bool,
}
