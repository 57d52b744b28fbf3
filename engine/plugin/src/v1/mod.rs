//! `windlass:hooks@1`, from the host's side: what a component of that version is linked to, asked and
//! answered. Nothing else here knows its types, so a second major is a second folder like this one.

pub(crate) mod bindings;
mod convert;
mod imports;

use wasmtime::Store;
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker};
use windlass_core::{
    AssetView, HookKind, Mapping, Market, Origin, Release, Routing, Ruling, Verdict,
};

use self::bindings::exports::windlass::hooks as exported;
use self::bindings::windlass::hooks as imported;
use crate::guest::Guest;

/// Where a component keeps what it exports.
pub(crate) struct Exports {
    plugin: exported::plugin::GuestIndices,
    metadata: Option<exported::metadata::GuestIndices>,
    rights: Option<exported::rights::GuestIndices>,
    localization: Option<exported::localization::GuestIndices>,
}

/// Offers the host's functions to components.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    imported::types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    imported::host::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

impl Exports {
    /// Finds the interfaces that a component exports; `has` says which hooks those are.
    pub(crate) fn find(
        pre: &InstancePre<Guest>,
        has: impl Fn(HookKind) -> bool,
    ) -> wasmtime::Result<Self> {
        use exported::{localization, metadata, rights};
        let metadata = has(HookKind::Metadata).then(|| metadata::GuestIndices::new(pre));
        let rights = has(HookKind::Rights).then(|| rights::GuestIndices::new(pre));
        let localization =
            has(HookKind::Localization).then(|| localization::GuestIndices::new(pre));
        Ok(Exports {
            plugin: exported::plugin::GuestIndices::new(pre)?,
            metadata: metadata.transpose()?,
            rights: rights.transpose()?,
            localization: localization.transpose()?,
        })
    }

    /// Name, version and what it asks for.
    pub(crate) fn identify(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> wasmtime::Result<(String, String, Vec<Origin>)> {
        let plugin = self.plugin.load(&mut *store, instance)?;
        let identity = plugin.call_identify(store)?;
        let asks = identity.asks.into_iter().map(convert::asked).collect();
        Ok((identity.name, identity.version, asks))
    }

    /// Hands the configuration over; the inner error is the plugin's own.
    pub(crate) fn configure(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        config: &str,
        granted: &[Origin],
    ) -> wasmtime::Result<Result<(), String>> {
        let granted: Vec<_> = granted.iter().copied().map(convert::granted).collect();
        let plugin = self.plugin.load(&mut *store, instance)?;
        plugin.call_configure(store, config, &granted)
    }

    pub(crate) fn describe(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        assets: &[AssetView],
    ) -> wasmtime::Result<Vec<Verdict<Mapping>>> {
        let hook = self.metadata.as_ref().ok_or_else(not_exported)?;
        let hook = hook.load(&mut *store, instance)?;
        let granted = store.data().granted;
        let views: Vec<_> = assets.iter().map(|a| convert::view(a, granted)).collect();
        let answers = hook.call_describe(store, &views)?;
        Ok(answers.into_iter().map(convert::verdict).collect())
    }

    /// Answers are checked against their releases, so there must be as many.
    pub(crate) fn decide(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        releases: &[Release],
    ) -> wasmtime::Result<Vec<Ruling>> {
        let hook = self.rights.as_ref().ok_or_else(not_exported)?;
        let hook = hook.load(&mut *store, instance)?;
        let granted = store.data().granted;
        let asked: Vec<_> = releases
            .iter()
            .map(|r| convert::release(r, granted))
            .collect();
        let answers = hook.call_decide(store, &asked)?;
        // A surplus is found by its number; it is not converted.
        let surplus = answers.len().saturating_sub(releases.len());
        let answers = answers.into_iter();
        let mut rulings: Vec<_> = answers
            .zip(releases)
            .map(|(given, release)| convert::ruling(given, release.at))
            .collect();
        rulings.extend((0..surplus).map(|_| Ruling::held("surplus", "surplus")));
        Ok(rulings)
    }

    pub(crate) fn route(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        assets: &[AssetView],
        markets: &[Market],
    ) -> wasmtime::Result<Vec<Verdict<Routing>>> {
        let hook = self.localization.as_ref().ok_or_else(not_exported)?;
        let hook = hook.load(&mut *store, instance)?;
        let granted = store.data().granted;
        let views: Vec<_> = assets.iter().map(|a| convert::view(a, granted)).collect();
        let table: Vec<_> = markets.iter().map(convert::market).collect();
        let answers = hook.call_route(store, &views, &table)?;
        let routed = answers.into_iter();
        Ok(routed
            .map(|given| convert::routed(given, markets))
            .collect())
    }
}

/// The port asks for no hook that the component lacks; should it, that is a failure like any other.
fn not_exported() -> wasmtime::Error {
    wasmtime::Error::msg("the component does not export this hook")
}
