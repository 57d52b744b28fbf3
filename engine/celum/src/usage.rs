//! What is written down beside an asset of where its copies are, and the end of its use.
//!
//! Every change is a call of its own, made only where a read before it shows that it is due.

use serde_json::{Value as Json, json};
use windlass_core::{Kind, Result, Retirement, Usage};

use crate::client::{Api, Got};
use crate::endpoint::Shared;
use crate::wire::{self, Availability, StatedAvailability};

impl Shared {
    /// Writes down where a copy of an asset is, instead of what was said of the same copy.
    pub(crate) async fn note_usage(&self, asset: i64, usage: &Usage) -> Result<()> {
        let Some(noted) = self.noted(asset, &usage.instance).await? else {
            return Ok(());
        };
        if noted == [usage.url.as_str()] {
            return Ok(());
        }
        // Two calls, because nothing tells in which order one of both would be done.
        if !noted.is_empty() && !self.forget(asset, &usage.instance).await? {
            return Ok(());
        }
        let mut reference = self.reference(&usage.instance);
        reference["url"] = json!(usage.url);
        let change = json!({ "op": "MODIFY", "add": [reference] });
        self.refer(asset, &change).await.map(|_| ())
    }

    /// Takes back what was said of a copy.
    pub(crate) async fn forget_usage(&self, asset: i64, instance: &str) -> Result<()> {
        match self.noted(asset, instance).await? {
            Some(noted) if !noted.is_empty() => self.forget(asset, instance).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    async fn forget(&self, asset: i64, instance: &str) -> Result<bool> {
        let change = json!({ "op": "MODIFY", "remove": [self.reference(instance)] });
        self.refer(asset, &change).await
    }

    /// What names a reference of ours.
    fn reference(&self, instance: &str) -> Json {
        let (description, provider) = &self.usage_keys;
        json!({ "descriptionKey": description, "providerKey": provider, "instanceKey": instance })
    }

    /// Where it is said that a copy is; `None` where the asset is gone.
    async fn noted(&self, asset: i64, instance: &str) -> Result<Option<Vec<String>>> {
        let (description, provider) = &self.usage_keys;
        let is_ours = |reference: &wire::ExternalReference| {
            reference.description.key == *description
                && reference.provider.key == *provider
                && reference.instance.as_deref() == Some(instance)
        };
        let Some(asset) = self.api.referenced(asset).await? else {
            return Ok(None);
        };
        let ours = asset.external_references.into_iter().filter(is_ours);
        Ok(Some(ours.map(|reference| reference.url).collect()))
    }

    /// Changes the references of an asset. Answers whether it is there.
    async fn refer(&self, asset: i64, change: &Json) -> Result<bool> {
        let body = json!({ "externalReferences": change });
        let refusal = match self.api.patch_asset(asset, &body).await? {
            Got::Value(()) => return Ok(true),
            Got::Refused(refusal) => refusal,
        };
        // What is absent may be one of the keys as well.
        if refusal.is_absent() && self.api.asset(asset).await?.is_none() {
            return Ok(false);
        }
        let (description, provider) = &self.usage_keys;
        let doing = "writing down where the asset is used";
        let error = self.refused(refusal, doing).await;
        Err(match error.kind() {
            Kind::InvalidInput | Kind::NotFound => error.with_hint(format!(
                "set up the description {description:?} and the provider {provider:?} of \
                 external references in the tenant"
            )),
            _ => error,
        }
        .with_context("asset", asset))
    }

    /// Ends an asset's use, and answers whether it is ended.
    pub(crate) async fn retire(&self, asset: i64, how: &Retirement) -> Result<bool> {
        match how {
            Retirement::Unavailable => self.make_unavailable(asset).await,
            Retirement::Unlink(collection) => self.unlink(asset, collection).await,
            Retirement::Delete => self.remove_asset(asset).await.map(|()| true),
        }
    }

    async fn make_unavailable(&self, asset: i64) -> Result<bool> {
        let off = Availability::Direct { available: false };
        let body = json!({ "availability": off });
        let off = Some(StatedAvailability::Known(off));
        // Whether it is so; one that is gone is not used either.
        let is_off = |now: Option<wire::Asset>| now.is_none_or(|now| now.availability == off);
        if is_off(self.api.asset(asset).await?) {
            return Ok(true);
        }
        let doing = "making the asset unavailable";
        match self.api.patch_asset(asset, &body).await? {
            Got::Refused(refusal) if !refusal.is_absent() => {
                let error = self.refused(refusal, doing).await;
                Err(error.with_context("asset", asset))
            }
            _ => Ok(is_off(self.api.asset(asset).await?)),
        }
    }
}

impl Api {
    /// What is written down beside an asset; `None` where it is absent or hidden.
    async fn referenced(&self, asset: i64) -> Result<Option<wire::Referenced>> {
        let query = [("inclusions", "externalReferences".to_owned())];
        self.get("assets/{id}", &format!("assets/{asset}"), &query)
            .await?
            .or_absent("reading where an asset is used")
    }
}
