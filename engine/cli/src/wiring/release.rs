//! From configuration to a release flow: a library, an outlet, the rights gate between them.

use std::sync::Arc;

use windlass_core::{AssetPath, Error, HookKind, Hooks, Kind, Origin, Result, SystemClock};
use windlass_flow::{Desk, Flow, ReleaseFlow, ReleaseOptions, RightsGate, Way};

use super::{Sides, Wiring, answers};
use crate::flows::{ReleaseConfig, WiredKind};

/// What a runner needs beside moving bytes.
pub(super) fn desk(flow: &Flow) -> Option<Arc<Desk>> {
    let release = match flow {
        Flow::Release(release) => release,
        Flow::Sync(half) if half.way == Way::Out => &half.sync.release,
        Flow::Ingest(_) | Flow::Sync(_) => return None,
    };
    Some(Arc::new(Desk {
        flow: release.options.flow.clone(),
        gate: Arc::clone(&release.gate),
        outlet: Arc::clone(&release.outlet),
        observer: Arc::clone(&release.observer),
    }))
}

impl Wiring<'_> {
    pub(super) async fn release(
        &self,
        name: &str,
        config: &dyn ReleaseConfig,
        sides: Sides,
        retry_held: bool,
    ) -> Result<ReleaseFlow> {
        let common = config.common();
        let Some(library) = sides.from.library else {
            return Err(cannot(
                name,
                "from",
                common.from,
                "governs no assets: it has no fields, rights or renditions",
            ));
        };
        let Some(outlet) = sides.to.outlet else {
            return Err(cannot(
                name,
                "to",
                common.to,
                "is no place where people take files from",
            ));
        };
        let rights = match &common.rights.plugin {
            None => None,
            Some(plugin) => Some(
                self.hook(name, "rights.plugin", plugin, HookKind::Rights)
                    .await?,
            ),
        };
        let WiredKind { kind, localization } = config.wire(name, self).await?;
        let query = common.query(name)?;
        let gate = RightsGate {
            library,
            hooks: rights,
            query: kind.is_bound_by_query().then(|| query.clone()),
            options: common.rights(),
            clock: Arc::new(SystemClock),
        };
        Ok(ReleaseFlow {
            options: ReleaseOptions {
                flow: name.to_owned(),
                query,
                root: AssetPath::new(common.root),
                kind,
                rights: common.rights(),
                taking_back: common.taking_back(),
                handing: common.handing(),
                shared: common.shared(),
                cap: None,
                retry_held,
                sweep: false,
            },
            gate: Arc::new(gate),
            localization,
            outlet,
            reader: sides.to.source,
            ledger: sides.ledger,
            observer: sides.observer,
        })
    }

    /// A plugin that answers what a release flow asks, and is granted nothing that such flows cannot give.
    pub(crate) async fn hook(
        &self,
        name: &str,
        key: &str,
        plugin: &str,
        kind: HookKind,
    ) -> Result<Arc<dyn Hooks>> {
        let loaded = self.plugin(plugin).await?;
        let at = format!("flow.{name}.{key}");
        answers(&at, plugin, &loaded, kind)?;
        let mut granted = loaded.granted().iter();
        match granted.find(|origin| **origin != Origin::Source) {
            None => Ok(Arc::new(loaded)),
            Some(origin) => Err(Error::new(
                Kind::Config,
                format!("{at}: the plugin {plugin} is granted {:?}, and assets of a library have only their fields", origin.name()),
            )
            .with_hint(format!("set plugin.{plugin}.grants to [\"source\"]"))),
        }
    }
}

fn cannot(name: &str, key: &str, endpoint: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("flow.{name}.{key}: {endpoint} {why}"))
        .with_hint("these flows lead from a CELUM tenant to a Dropbox account or a folder")
}
