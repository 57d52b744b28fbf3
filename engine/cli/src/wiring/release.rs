//! From configuration to a release flow: a library, an outlet, the rights gate between them.

use std::sync::Arc;

use windlass_archive::XmpMap;
use windlass_core::{
    AssetPath, Error, HookKind, Hooks, Kind, Origin, Result, Retirement, SystemClock,
};
use windlass_flow::{
    ArchiveOptions, Desk, Flow, Keys, LocalizeOptions, PublishOptions, Relations, ReleaseFlow,
    ReleaseKind, ReleaseOptions, RenditionRule, RightsGate,
};

use super::{Sides, Wiring, answers};
use crate::commands::read_key;
use crate::config::{
    AfterwardsConfig, ArchiveConfig, LocalizeConfig, PublishConfig, ReleaseConfig, RenditionConfig,
};

/// What a runner needs beside moving bytes.
pub(super) fn desk(flow: &Flow) -> Option<Arc<Desk>> {
    let Flow::Release(release) = flow else {
        return None;
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
        config: ReleaseConfig<'_>,
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
        let (kind, localization) = match config {
            ReleaseConfig::Publish(config) => (publish(name, config)?, None),
            ReleaseConfig::Localize(config) => {
                let plugin = &config.localization;
                let hooks = self
                    .hook(name, "localization", plugin, HookKind::Localization)
                    .await?;
                (localize(config), Some(hooks))
            }
            ReleaseConfig::Archive(config) => (self.archive(config)?, None),
        };
        let query = common.query(name)?;
        let gate = RightsGate {
            library,
            hooks: rights,
            // What belongs to a campaign need not be in its collection.
            query: match kind {
                ReleaseKind::Archive(_) => None,
                ReleaseKind::Publish(_) | ReleaseKind::Localize(_) => Some(query.clone()),
            },
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
    async fn hook(
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

    fn archive(&self, config: &ArchiveConfig) -> Result<ReleaseKind> {
        let keys = config.sign.iter().map(|file| read_key(&self.at(file)));
        let xmp = config.xmp.iter();
        let afterwards = match config.afterwards {
            AfterwardsConfig::Leave => None,
            AfterwardsConfig::Unavailable => Some(Retirement::Unavailable),
            AfterwardsConfig::Unlink => {
                Some(Retirement::Unlink(AssetPath::new(&config.collection)))
            }
            AfterwardsConfig::Delete => Some(Retirement::Delete),
        };
        Ok(ReleaseKind::Archive(Box::new(ArchiveOptions {
            campaign: config.campaign.clone(),
            relations: Relations {
                kinds: config.relations.kinds.clone(),
                depth: config.relations.depth,
            },
            versions: config.versions,
            renditions: rules(&config.renditions),
            mhl: config.mhl,
            afterwards,
            xmp: XmpMap::new(xmp.map(|(field, property)| (field.as_str(), property.as_str())))?,
            keys: Keys(Arc::new(keys.collect::<Result<_>>()?)),
        })))
    }
}

fn publish(name: &str, config: &PublishConfig) -> Result<ReleaseKind> {
    let (folder, file) = config.templates(name)?;
    Ok(ReleaseKind::Publish(PublishOptions {
        folder,
        name: file,
        renditions: rules(&config.renditions),
    }))
}

fn localize(config: &LocalizeConfig) -> ReleaseKind {
    let folders = config.folders.iter();
    ReleaseKind::Localize(LocalizeOptions {
        markets: config.markets(),
        folders: folders
            .map(|(market, folder)| (market.clone(), AssetPath::new(folder)))
            .collect(),
        manifests: config.manifests,
    })
}

fn rules(configured: &[RenditionConfig]) -> Vec<RenditionRule> {
    configured.iter().map(RenditionRule::from).collect()
}

fn cannot(name: &str, key: &str, endpoint: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("flow.{name}.{key}: {endpoint} {why}"))
        .with_hint("these flows lead from a CELUM tenant to a Dropbox account or a folder")
}
