//! What a guest can be asked, batch by batch: one type for each hook, so that limits, the search for who is at
//! fault and the keeping of answers are written once.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_core::{
    AssetView, Blake3, HookKind, Mapping, Market, Release, Routing, Ruling, Verdict,
};

use crate::failures::Call;
use crate::guest::{Guest, Stop};
use crate::v1::Exports;

/// For how many places of a market table an asset has the work of one more. An asset that can be anywhere in 2,000 places takes
/// `market-router` more than the work of one; 80,000 instructions a place leave room for guests in other languages.
const PLACES_A_SHARE: u64 = 50;

/// A question about each of many inputs.
pub(crate) trait Question: Send + Sync + 'static {
    type Input: Clone + Send + Sync + Serialize + 'static;
    type Answer: Clone + Send + Serialize + 'static;

    const HOOK: HookKind;

    /// Asks a configured instance.
    fn ask(
        &self,
        exports: &Exports,
        store: &mut Store<Guest>,
        instance: &Instance,
        inputs: &[Self::Input],
    ) -> wasmtime::Result<Vec<Self::Answer>>;

    /// The answer where the guest gave none.
    fn stopped(stop: &Stop) -> Self::Answer;

    /// Which asset an input is about.
    fn asset(input: &Self::Input) -> &AssetView;

    /// How many times the usual work an input may take.
    fn work(&self) -> u64 {
        1
    }

    /// The question about one input, to be asked again elsewhere.
    fn call(&self, input: &Self::Input) -> Call;

    /// Under which key an answer is kept: a digest of all that may decide it besides plugin and configuration.
    fn key(&self, input: &Self::Input) -> Option<Blake3>;

    /// The moment that an input is about, if it is about one.
    fn moment(_input: &Self::Input) -> Option<Timestamp> {
        None
    }

    /// When an answer ceases to stand.
    fn until(_answer: &Self::Answer) -> Option<Timestamp> {
        None
    }
}

/// What assets become.
pub(crate) struct Describe;

impl Question for Describe {
    type Input = AssetView;
    type Answer = Verdict<Mapping>;

    const HOOK: HookKind = HookKind::Metadata;

    fn ask(
        &self,
        exports: &Exports,
        store: &mut Store<Guest>,
        instance: &Instance,
        assets: &[AssetView],
    ) -> wasmtime::Result<Vec<Verdict<Mapping>>> {
        exports.describe(store, instance, assets)
    }

    fn stopped(stop: &Stop) -> Verdict<Mapping> {
        stop.verdict()
    }

    fn asset(asset: &AssetView) -> &AssetView {
        asset
    }

    fn call(&self, asset: &AssetView) -> Call {
        Call::Describe {
            asset: asset.clone(),
        }
    }

    fn key(&self, asset: &AssetView) -> Option<Blake3> {
        digest(asset)
    }
}

/// Whether assets may leave.
pub(crate) struct Decide;

impl Question for Decide {
    type Input = Release;
    type Answer = Ruling;

    const HOOK: HookKind = HookKind::Rights;

    fn ask(
        &self,
        exports: &Exports,
        store: &mut Store<Guest>,
        instance: &Instance,
        releases: &[Release],
    ) -> wasmtime::Result<Vec<Ruling>> {
        exports.decide(store, instance, releases)
    }

    fn stopped(stop: &Stop) -> Ruling {
        stop.ruling()
    }

    fn asset(release: &Release) -> &AssetView {
        &release.asset
    }

    fn call(&self, release: &Release) -> Call {
        Call::Decide {
            release: release.clone(),
        }
    }

    /// The day instead of the moment: `wit/v1` lets a ruling stand for later moments of its day.
    fn key(&self, release: &Release) -> Option<Blake3> {
        let day = release.at.to_zoned(TimeZone::UTC).date();
        let Release {
            asset,
            audience,
            market,
            channel,
            at: _,
        } = release;
        digest(&(asset, audience, market, channel, day))
    }

    fn moment(release: &Release) -> Option<Timestamp> {
        Some(release.at)
    }

    fn until(ruling: &Ruling) -> Option<Timestamp> {
        ruling.until
    }
}

/// Where assets are to appear.
pub(crate) struct Route {
    markets: Arc<[Market]>,
    digest: Option<Blake3>,
}

impl Route {
    pub(crate) fn new(markets: &[Market]) -> Self {
        Route {
            markets: markets.into(),
            digest: digest(markets),
        }
    }
}

impl Question for Route {
    type Input = AssetView;
    type Answer = Verdict<Routing>;

    const HOOK: HookKind = HookKind::Localization;

    fn ask(
        &self,
        exports: &Exports,
        store: &mut Store<Guest>,
        instance: &Instance,
        assets: &[AssetView],
    ) -> wasmtime::Result<Vec<Verdict<Routing>>> {
        exports.route(store, instance, assets, &self.markets)
    }

    fn stopped(stop: &Stop) -> Verdict<Routing> {
        stop.verdict()
    }

    fn asset(asset: &AssetView) -> &AssetView {
        asset
    }

    fn work(&self) -> u64 {
        let places = self.markets.iter();
        let places = places.map(|market| market.languages.len() * market.channels.len());
        1 + places.sum::<usize>() as u64 / PLACES_A_SHARE
    }

    fn call(&self, asset: &AssetView) -> Call {
        Call::Route {
            asset: asset.clone(),
            markets: self.markets.to_vec(),
        }
    }

    fn key(&self, asset: &AssetView) -> Option<Blake3> {
        digest(&(self.digest?, asset))
    }
}

/// `None` for what cannot be written, and is then not kept.
fn digest<T: Serialize + ?Sized>(input: &T) -> Option<Blake3> {
    let text = serde_json::to_vec(input).ok()?;
    Some(Blake3::of(&text))
}
