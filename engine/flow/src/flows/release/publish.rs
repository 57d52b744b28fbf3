//! Publish: each selected asset appears once, in a folder and under a name that are made of what is known about it.

use serde::{Serialize, Serializer};
use windlass_core::Result;

use super::template::{Filling, Template};
use super::{ReleaseFlow, Routed, Scene};
use crate::delivery::Delivery;
use crate::rights::Use;

/// What a publish flow hands out.
#[derive(Clone, Debug, Serialize)]
pub struct PublishOptions {
    /// The folder below the flow's root.
    #[serde(serialize_with = "as_text")]
    pub folder: Template,
    /// The file's name.
    #[serde(serialize_with = "as_text")]
    pub name: Template,
    /// Which assets leave as a rendition; the first rule that fits counts, and without one the original leaves.
    pub renditions: Vec<RenditionRule>,
}

/// Assets that leave as a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RenditionRule {
    /// For files with these extensions, without the dot; none is all.
    pub extensions: Vec<String>,
    /// The rendition's technical name.
    pub rendition: String,
    /// The extension of its files; `None` keeps the original's.
    pub extension: Option<String>,
}

fn as_text<S: Serializer>(template: &Template, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(template)
}

impl RenditionRule {
    /// The first rule for a file with this extension.
    pub(super) fn of<'a>(rules: &'a [RenditionRule], extension: &str) -> Option<&'a Self> {
        rules.iter().find(|rule| {
            let mut extensions = rule.extensions.iter();
            rule.extensions.is_empty() || extensions.any(|one| one.eq_ignore_ascii_case(extension))
        })
    }
}

impl ReleaseFlow {
    pub(super) async fn publish(&self, options: &PublishOptions, scene: &Scene) -> Result<Routed> {
        let mut routed = Routed::default();
        for (id, held) in &scene.selected {
            let rule = RenditionRule::of(&options.renditions, &held.asset.path.extension());
            let filling = Filling {
                holding: held,
                rendition: rule.map(|rule| rule.rendition.as_str()),
                extension: rule.and_then(|rule| rule.extension.as_deref()),
            };
            let folder = options.folder.folder(&self.options.root, filling);
            let place = folder.and_then(|folder| Ok((folder, options.name.name(filling)?)));
            match place {
                Err(reason) => routed.held.push((id.clone(), reason)),
                Ok((folder, file_name)) => routed.deliveries.push(Delivery {
                    asset: id.clone(),
                    slot: filling.rendition.unwrap_or("original").to_owned(),
                    version: None,
                    rendition: filling.rendition.map(str::to_owned),
                    why: format!("for {}", self.options.rights.audience),
                    uses: vec![Use::default()],
                    folder,
                    file_name,
                }),
            }
        }
        Ok(routed)
    }
}
