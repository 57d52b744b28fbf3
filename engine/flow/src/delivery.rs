//! What leaves a library: one asset in one form at one place, and the source that such steps read from.
//!
//! The ledger keeps one placement for each source asset of a flow. An asset that leaves for many places, or in several
//! forms, has many placements, so what a placement is of is a *delivery*: the asset's id, `#`, and the slot that tells
//! its deliveries apart.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, Assigned, Calls, Capabilities, ChangePage, CheckItem,
    Cursor, Draft, DraftPart, Endpoint, HeldBack, Library, Load, Placed, Result, Revision, Scope,
    Source,
};

use crate::rights::Use;

/// What a release step knows beyond a destination, kept with it in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clearance {
    /// The asset's current revision; the step's own names the rendition too, or is that of an older version.
    pub revision: Revision,
    /// The rendition that is handed out; `None` is the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendition: Option<String>,
    /// What the copy is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
    /// Until when it may be there, as far as the plan knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// A newer version has another name or folder than the one that it replaces, and moves there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moves: bool,
    /// The note that stands in its place since it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Placed>,
    /// The asset is gone, so nobody can be asked about it. Where it is there again, rights count as for everything else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// Names a delivery.
pub(crate) fn delivery_id(asset: &AssetId, slot: &str) -> AssetId {
    AssetId::new(format!("{asset}#{}", slot.replace('#', "%23")))
}

/// The asset that a delivery is of.
pub(crate) fn asset_of(delivery: &AssetId) -> AssetId {
    match delivery.as_str().rsplit_once('#') {
        Some((asset, _)) => AssetId::new(asset),
        None => delivery.clone(),
    }
}

/// The slot of a delivery.
pub(crate) fn slot_of(delivery: &AssetId) -> &str {
    delivery
        .as_str()
        .rsplit_once('#')
        .map_or("", |(_, slot)| slot)
}

/// How a delivery's revision is written down: the asset's, and the rendition that is made of it.
pub(crate) fn delivered_revision(revision: &Revision, rendition: Option<&str>) -> Revision {
    match rendition {
        None => revision.clone(),
        Some(rendition) => Revision::new(format!("{revision}+{rendition}")),
    }
}

/// A library under the ids of deliveries.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries(pub(crate) Arc<dyn Library>);

impl Deliveries {
    fn inner(asset: &Asset) -> Asset {
        Asset {
            id: asset_of(&asset.id),
            ..asset.clone()
        }
    }
}

#[async_trait]
impl Endpoint for Deliveries {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        self.0.check().await
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.0.held_back()
    }

    fn calls_made(&self) -> u64 {
        self.0.calls_made()
    }
}

#[async_trait]
impl Source for Deliveries {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        self.0.changes(scope, cursor).await
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        let found = self.0.stat(&asset_of(asset)).await?;
        Ok(found.map(|found| Asset {
            id: asset.clone(),
            ..found
        }))
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        let assets: Vec<Asset> = assets.iter().map(Self::inner).collect();
        self.0.tags(&assets).await
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        self.0.read(&Self::inner(asset), range, into).await
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        self.0.open(&Self::inner(asset)).await
    }

    fn calls_to_read(&self, load: &Load) -> Calls {
        self.0.calls_to_read(load)
    }
}

/// A place where an asset is to appear.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delivery {
    /// The asset.
    pub(crate) asset: AssetId,
    /// What tells it from the asset's other deliveries of the flow, whatever its name becomes.
    pub(crate) slot: String,
    /// The version that is handed out, where it is not the current one.
    pub(crate) version: Option<Asset>,
    /// The rendition that is handed out; `None` is the original.
    pub(crate) rendition: Option<String>,
    /// The folder at the sink.
    pub(crate) folder: AssetPath,
    /// The file's name there.
    pub(crate) file_name: String,
    /// What it is for.
    pub(crate) uses: Vec<Use>,
    /// Why it is to be there, in a few words.
    pub(crate) why: String,
    /// What is written beside it.
    pub(crate) fields: Vec<Assigned>,
    /// Where it is later is not this delivery's to say.
    pub(crate) stays: bool,
}

impl Delivery {
    pub(crate) fn id(&self) -> AssetId {
        delivery_id(&self.asset, &self.slot)
    }

    pub(crate) fn path(&self) -> AssetPath {
        self.folder.join(&self.file_name)
    }

    /// What it shall be at the sink, without what goes with it.
    pub(crate) fn draft(&self) -> Draft {
        Draft {
            name: self.file_name.clone(),
            file_name: self.file_name.clone(),
            collection: self.folder.clone(),
            asset_type: None,
            fields: self.fields.clone(),
            availability: None,
            handing: None,
            yields: match self.stays {
                true => BTreeSet::from([DraftPart::Name, DraftPart::Collection]),
                false => BTreeSet::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_names_its_asset_whatever_the_slot_holds() {
        let asset = AssetId::new("a#b");
        let delivery = delivery_id(&asset, "original@/DE/#1");
        assert_eq!(asset_of(&delivery), asset);
        assert_eq!(slot_of(&delivery), "original@/DE/%231");
    }
}
