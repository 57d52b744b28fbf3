//! What is stated about an asset besides its path and its listing: by the system that holds it, in sheets, in XMP
//! files beside it, in the file itself.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::asset::Asset;
use crate::digest::Blake3;
use crate::error::Result;
use crate::hooks::{Finding, Verdict};
use crate::metadata::Value;
use crate::ports::Source;

/// Who states something about an asset, besides its path and its listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The system that holds the asset.
    Source,
    /// A row of a sheet that is joined to the assets, by column name.
    Sheet,
    /// An XMP file beside the asset, by the names of embedded properties.
    Sidecar,
    /// The file itself, by property name with its customary prefix, such as `dc:title`.
    Embedded,
}

impl Origin {
    /// All of them, in the order in which statements are given.
    pub const ALL: [Origin; 4] = [
        Origin::Source,
        Origin::Sheet,
        Origin::Sidecar,
        Origin::Embedded,
    ];

    /// Its name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Source => "source",
            Origin::Sheet => "sheet",
            Origin::Sidecar => "sidecar",
            Origin::Embedded => "embedded",
        }
    }
}

/// Something that is stated about an asset. It need not be true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Who says so.
    pub origin: Origin,
    /// Which property, in the origin's own words.
    pub name: String,
    /// What it is said to be.
    pub value: Value,
}

/// What is stated about one asset, and what was found on reading it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    /// Each name of an origin once.
    pub statements: Vec<Statement>,
    /// What was left out, cut or repaired, and why.
    pub findings: Vec<Finding>,
}

/// An asset about which somebody is asked, and the XMP file beside it, if there is one and it is wanted.
#[derive(Clone, Debug)]
pub struct Described {
    /// The asset.
    pub asset: Asset,
    /// The file beside it.
    pub sidecar: Option<Asset>,
}

/// Who knows what is stated about assets.
#[async_trait]
pub trait Informant: Send + Sync + std::fmt::Debug {
    /// Whose statements it gives.
    fn origins(&self) -> &[Origin];

    /// A digest of all that decides what it says besides the assets themselves, such as the content of sheets.
    fn digest(&self) -> Blake3;

    /// What is stated about each asset, in the same order, by the origins that are wanted.
    ///
    /// An asset of which something cannot be read that others may be able to read is held. An error means that
    /// nothing can be said now.
    async fn state(
        &self,
        source: &dyn Source,
        assets: &[Described],
        wanted: &[Origin],
    ) -> Result<Vec<Verdict<Stated>>>;

    /// Takes notice of an asset that is there, whether or not anybody asks about it.
    fn pass(&self, asset: &Asset);

    /// What can be said only after all assets were seen, such as rows of sheets that no asset has.
    fn leftovers(&self) -> Vec<Finding>;
}
