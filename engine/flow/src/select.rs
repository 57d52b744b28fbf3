//! Which assets a flow concerns itself with, and why not the others.
//!
//! Selection is a pure function of an asset and the configuration. Every refusal has a reason that a
//! plan can print; nothing is silently invisible.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};
use windlass_core::{Asset, ByteSize, Error, Kind, Noise, Result, classify_noise};

/// What the configuration says about selection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Designated folders as globs over the whole path, such as `/Agencies/*/*/CMP-*`. An asset is in
    /// when a folder above it matches; case does not matter. Empty means all.
    pub folders: Vec<String>,
    /// Folders and files to leave out, as globs over the whole path.
    pub exclude: Vec<String>,
    /// File name extensions without the dot. Empty means all.
    pub extensions: Vec<String>,
    /// The smallest size that is taken.
    pub size_min: Option<ByteSize>,
    /// The largest size that is taken.
    pub size_max: Option<ByteSize>,
    /// What makes an asset approved. Without it every asset is.
    pub approval: Option<Approval>,
}

/// The approval signal: either of the two is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// The name of a folder; everything below a folder of that name is approved.
    pub folder: Option<String>,
    /// A tag on the asset itself.
    pub tag: Option<String>,
}

/// What selection says about an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// It is in; the text says what approved it.
    In(String),
    /// It is in when it carries the approval tag, which nobody has asked for yet.
    InIfTagged,
    /// It is out, and why.
    Out(String),
}

/// A compiled [`Selection`].
#[derive(Debug)]
pub struct Selector {
    folders: Option<GlobSet>,
    exclude: GlobSet,
    extensions: Vec<String>,
    size_min: Option<ByteSize>,
    size_max: Option<ByteSize>,
    approval: Option<Approval>,
}

impl Selector {
    /// Compiles the configuration. Errors: a glob that does not parse, an approval that names nothing.
    pub fn new(selection: &Selection) -> Result<Self> {
        let approval = selection.approval.clone();
        if approval
            .as_ref()
            .is_some_and(|a| a.folder.is_none() && a.tag.is_none())
        {
            return Err(Error::new(
                Kind::Config,
                "select.approval names neither a folder nor a tag",
            )
            .with_hint("set select.approval.folder or select.approval.tag, or remove the table"));
        }
        Ok(Selector {
            folders: match selection.folders.as_slice() {
                [] => None,
                globs => Some(compile("select.folders", globs)?),
            },
            exclude: compile("select.exclude", &selection.exclude)?,
            extensions: selection
                .extensions
                .iter()
                .map(|extension| extension.trim_start_matches('.').to_lowercase())
                .collect(),
            size_min: selection.size_min,
            size_max: selection.size_max,
            approval: approval.map(|a| Approval {
                folder: a.folder,
                tag: a.tag.map(|tag| tag.to_lowercase()),
            }),
        })
    }

    /// Says whether an asset is in, before its tags are known.
    pub fn pick(&self, asset: &Asset) -> Pick {
        if let Some(noise) = classify_noise(asset.path.name()) {
            return Pick::Out(noise.reason().to_owned());
        }
        if is_in_cache(asset) {
            return Pick::Out("kept by a program for itself, not content".to_owned());
        }
        if let Some(reason) = self.outside(asset) {
            return Pick::Out(reason);
        }
        let Some(approval) = &self.approval else {
            return Pick::In("no approval is asked for".to_owned());
        };
        if let Some(folder) = &approval.folder {
            let folded = windlass_core::fold_key(folder);
            let parent = asset.path.parent();
            if parent
                .segments()
                .any(|segment| windlass_core::fold_key(segment) == folded)
            {
                return Pick::In(format!("approved by folder {folder:?}"));
            }
        }
        match &approval.tag {
            Some(_) => Pick::InIfTagged,
            None => Pick::Out(self.not_approved()),
        }
    }

    /// Settles [`Pick::InIfTagged`] once the tags are known.
    pub fn settle(&self, tags: &[String]) -> Pick {
        let wanted = self
            .approval
            .as_ref()
            .and_then(|approval| approval.tag.as_ref());
        match wanted {
            Some(tag) if tags.iter().any(|t| t.to_lowercase() == *tag) => {
                Pick::In(format!("approved by tag {tag:?}"))
            }
            _ => Pick::Out(self.not_approved()),
        }
    }

    fn outside(&self, asset: &Asset) -> Option<String> {
        let path = &asset.path;
        if let Some(folders) = &self.folders {
            let designated = std::iter::successors(Some(path.parent()), |folder| {
                (!folder.as_str().is_empty()).then(|| folder.parent())
            })
            .any(|folder| folders.is_match(folder.as_str()));
            if !designated {
                return Some("not in a designated folder".to_owned());
            }
        }
        let excluded = std::iter::successors(Some(path.clone()), |at| {
            (!at.as_str().is_empty()).then(|| at.parent())
        })
        .any(|at| self.exclude.is_match(at.as_str()));
        if excluded {
            return Some("excluded by select.exclude".to_owned());
        }
        let extension = path.extension();
        if !self.extensions.is_empty() && !self.extensions.contains(&extension) {
            return Some(match extension.as_str() {
                "" => "it has no extension, and select.extensions names some".to_owned(),
                _ => format!("extension {extension:?} is not in select.extensions"),
            });
        }
        let size = ByteSize(asset.size);
        if let Some(min) = self.size_min.filter(|min| size < *min) {
            return Some(format!("{size} is below select.size_min of {min}"));
        }
        if let Some(max) = self.size_max.filter(|max| size > *max) {
            return Some(format!("{size} is above select.size_max of {max}"));
        }
        None
    }

    fn not_approved(&self) -> String {
        match self.approval.as_ref() {
            Some(Approval {
                folder: Some(folder),
                tag: Some(tag),
            }) => {
                format!("not approved: neither below a folder {folder:?} nor tagged {tag:?}")
            }
            Some(Approval {
                folder: Some(folder),
                tag: None,
            }) => {
                format!("not approved: not below a folder {folder:?}")
            }
            Some(Approval {
                folder: None,
                tag: Some(tag),
            }) => {
                format!("not approved: not tagged {tag:?}")
            }
            _ => "not approved".to_owned(),
        }
    }
}

/// Whether it is below a hidden folder in which a program keeps what it has not finished.
fn is_in_cache(asset: &Asset) -> bool {
    let folder = asset.path.parent();
    let mut hidden = folder.segments().filter(|name| name.starts_with('.'));
    hidden.any(|name| classify_noise(name) == Some(Noise::SystemFile))
}

pub(crate) fn compile(key: &'static str, globs: &[String]) -> Result<GlobSet> {
    let refuse = |glob: &str, error: globset::Error| {
        Error::new(Kind::Config, format!("{key}: {glob:?} is not a glob"))
            .with_source(error)
            .with_hint("`*` matches within one folder name, `**` across folders, `{a,b}` either")
    };
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let trimmed = format!("/{}", glob.trim_matches('/'));
        let compiled = GlobBuilder::new(&trimmed)
            .literal_separator(true)
            .case_insensitive(true)
            .build()
            .map_err(|error| refuse(glob, error))?;
        set.add(compiled);
    }
    set.build().map_err(|error| refuse("", error))
}
