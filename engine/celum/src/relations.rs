//! What belongs to an asset: those it is related to, and its versions.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Mutex;
use windlass_core::{Asset, AssetId, AssetPath, Error, Kind, Readable, Related, Result, Revision};

use crate::client::{Api, PAGE_SIZE};
use crate::endpoint::Shared;
use crate::wire;

/// 100,000 relations, or versions, of one asset: more is an answer without end.
const PAGES_MAX: usize = 500;

/// The technical names of relation types, by id; read once, and again for one that is not among them.
#[derive(Debug, Default)]
pub(crate) struct RelationTypes(Mutex<BTreeMap<i64, String>>);

impl RelationTypes {
    /// The name of each; one that this user does not see is named by its id.
    async fn names(&self, api: &Api, ids: &BTreeSet<i64>) -> Result<BTreeMap<i64, String>> {
        let mut known = self.0.lock().await;
        if ids.iter().any(|id| !known.contains_key(id)) {
            let types = api.relation_types().await?.into_iter();
            *known = types.map(|kind| (kind.id, kind.name)).collect();
        }
        let named = ids.iter().map(|id| {
            let name = known.get(id).filter(|name| !name.is_empty());
            (*id, name.cloned().unwrap_or_else(|| id.to_string()))
        });
        Ok(named.collect())
    }
}

impl Shared {
    /// What an asset is related to, both ways, each once.
    pub(crate) async fn related(&self, asset: i64) -> Result<Vec<Related>> {
        let relations = self.api.relations(asset).await?;
        let relations = relations.ok_or_else(|| not_there(asset))?;
        let types = relations.iter().filter_map(|relation| relation.type_id);
        let names = self
            .relation_types
            .names(&self.api, &types.collect())
            .await?;
        let related = relations.iter().filter_map(|relation| {
            let source = relation.source_asset.as_ref()?.id;
            let target = relation.target_asset.as_ref()?.id;
            let is_outgoing = source == asset;
            let other = if is_outgoing { target } else { source };
            let kind = relation.type_id.and_then(|id| names.get(&id));
            (other != asset).then(|| Related {
                asset: AssetId::new(other.to_string()),
                kind: kind.cloned().unwrap_or_default(),
                is_outgoing,
            })
        });
        let related: BTreeSet<Related> = related.collect();
        Ok(related.into_iter().collect())
    }

    /// The originals of an asset's versions, the newest first.
    pub(crate) async fn versions(&self, asset: i64) -> Result<Vec<Asset>> {
        let Some(now) = self.api.asset(asset).await? else {
            return Err(not_there(asset));
        };
        let shown = self.shown(&now, &AssetPath::new(""));
        let folder = shown.path.parent();
        let versions = self.all_versions(asset).await?;
        let versions = versions.ok_or_else(|| not_there(asset))?;
        let with_file = versions.iter().filter(|version| !version.is_placeholder());
        let originals = with_file.map(|version| Asset {
            id: shown.id.clone(),
            path: folder.join(&version.filename),
            revision: Revision::new(version.id.to_string()),
            size: version.filesize,
            modified: version.creation.date,
            content_hash: None,
            tags: Vec::new(),
            readable: Readable::Yes,
        });
        Ok(originals.collect())
    }

    /// All versions of an asset, the newest first; `None` where it or they are absent or hidden.
    pub(crate) async fn all_versions(&self, asset: i64) -> Result<Option<Vec<wire::Version>>> {
        // Ids grow with time, within an asset or within the tenant. In which order pages come is nobody's promise.
        let mut by_id = BTreeMap::new();
        for number in 1..=PAGES_MAX {
            let Some(page) = self.api.versions_page(asset, number).await? else {
                return Ok(None);
            };
            let ended = !page.has_next || page.content.is_empty();
            by_id.extend(
                page.content
                    .into_iter()
                    .map(|version| (version.id, version)),
            );
            if ended {
                return Ok(Some(by_id.into_values().rev().collect()));
            }
        }
        Err(too_many("versions", asset))
    }
}

impl Api {
    async fn relation_types(&self) -> Result<Vec<wire::RelationType>> {
        self.get("relation-types", "relation-types", &[])
            .await?
            .or_refused("listing the relation types")
    }

    /// All relations of an asset, both ways; `None` where it is absent or hidden.
    async fn relations(&self, asset: i64) -> Result<Option<Vec<wire::Relation>>> {
        let mut all = Vec::new();
        for number in 1..=PAGES_MAX {
            let query = [
                ("assetId", asset.to_string()),
                ("page", number.to_string()),
                ("size", PAGE_SIZE.to_string()),
            ];
            let page: Option<wire::Page<wire::Relation>> = self
                .get("relations", "relations", &query)
                .await?
                .or_absent("listing the relations of an asset")?;
            let Some(page) = page else {
                return Ok(None);
            };
            let ended = !page.has_next || page.content.is_empty();
            all.extend(page.content);
            if ended {
                return Ok(Some(all));
            }
        }
        Err(too_many("relations", asset))
    }
}

fn not_there(asset: i64) -> Error {
    Error::new(Kind::NotFound, "the asset is not there any more, or hidden")
        .with_context("asset", asset)
}

fn too_many(what: &str, asset: i64) -> Error {
    let most = PAGES_MAX * PAGE_SIZE;
    Error::new(
        Kind::Unsupported,
        format!("an asset has more than {most} {what}"),
    )
    .with_context("asset", asset)
}
