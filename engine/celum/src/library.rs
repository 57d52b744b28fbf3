//! The tenant as the system of record: what it holds, what belongs to that, where it is used.

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde_json::json;
use windlass_core::{
    Asset, AssetId, AssetPath, ChangedPage, Cursor, Holding, HoldingsPage, Library, Query, Related,
    Rendition, Result, Retirement, Usage,
};

use crate::endpoint::{CelumEndpoint, Shared};
use crate::filter::Order;
use crate::sink::id_of;
use crate::source::{unlisted, walked_to};
use crate::wire;

/// How many assets are read at once: what careful callers have under way.
const READS: usize = 4;

#[async_trait]
impl Library for CelumEndpoint {
    async fn holdings(&self, query: &Query, cursor: Option<&Cursor>) -> Result<HoldingsPage> {
        let page = self.shared.holdings(query, None, cursor).await?;
        Ok(HoldingsPage {
            holdings: page.holdings,
            next: page.next,
        })
    }

    async fn changed(
        &self,
        query: &Query,
        since: Timestamp,
        cursor: Option<&Cursor>,
    ) -> Result<ChangedPage> {
        self.shared.holdings(query, Some(since), cursor).await
    }

    async fn check_fields(&self, asset_types: &[String], fields: &[String]) -> Result<()> {
        self.shared.check_fields(asset_types, fields).await
    }

    async fn consult(&self, assets: &[AssetId]) -> Result<Vec<Option<Holding>>> {
        let ids: Vec<i64> = assets.iter().map(id_of).collect::<Result<_>>()?;
        self.shared.consult(ids).await
    }

    async fn renditions(&self) -> Result<Vec<Rendition>> {
        self.shared.renditions().await
    }

    async fn render(&self, asset: &Asset, rendition: &str) -> Result<Asset> {
        self.shared.render(asset, rendition).await
    }

    async fn related(&self, asset: &AssetId) -> Result<Vec<Related>> {
        self.shared.related(id_of(asset)?).await
    }

    async fn versions(&self, asset: &AssetId) -> Result<Vec<Asset>> {
        self.shared.versions(id_of(asset)?).await
    }

    async fn note_usage(&self, asset: &AssetId, usage: &Usage) -> Result<()> {
        self.shared.note_usage(id_of(asset)?, usage).await
    }

    async fn forget_usage(&self, asset: &AssetId, instance: &str) -> Result<()> {
        self.shared.forget_usage(id_of(asset)?, instance).await
    }

    async fn retire(&self, asset: &AssetId, how: &Retirement) -> Result<bool> {
        self.shared.retire(id_of(asset)?, how).await
    }
}

impl Shared {
    /// One page of a walk by ascending id, as [`windlass_core::Source::changes`] walks: always a first page, because page
    /// numbers shift while people work. With `since` only what changed then or later.
    async fn holdings(
        &self,
        query: &Query,
        since: Option<Timestamp>,
        cursor: Option<&Cursor>,
    ) -> Result<ChangedPage> {
        let last = walked_to(cursor)?;
        let filter = self.filter_of(query, last, since).await?;
        let all = json!({ "type": "ALL_ASSET_INFORMATION_FIELDS" });
        let page = self
            .api
            .search_including(&filter, Order::Asc, Some(all))
            .await?;
        let assets = unlisted(&page, last)?;
        // A page that brought nothing new is the end, whatever it says of further ones.
        let next = assets.last().filter(|_| page.has_next);
        Ok(ChangedPage {
            next: next.map(|asset| Cursor::new(asset.id.to_string())),
            holdings: self.holdings_of(&assets, &query.collection).await?,
        })
    }

    /// Each asset as it is now, in the same order.
    async fn consult(&self, ids: Vec<i64>) -> Result<Vec<Option<Holding>>> {
        let reads = ids.into_iter().map(|id| self.api.asset(id));
        let read: Vec<Option<wire::Asset>> =
            stream::iter(reads).buffered(READS).try_collect().await?;
        let there: Vec<&wire::Asset> = read.iter().flatten().collect();
        let holdings = self.holdings_of(&there, &AssetPath::new("")).await?;
        let mut holdings = holdings.into_iter();
        let each = read.iter().map(|asset| match asset {
            Some(_) => holdings.next(),
            None => None,
        });
        Ok(each.collect())
    }
}
