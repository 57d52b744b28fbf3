//! Publish: each selected asset appears once, in a folder and under a name that are made of what is known about it.

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use windlass_core::Result;

use super::template::{Filling, Template};
use super::{Needs, ReleaseFlow, ReleaseKind, Routed, Scene, rules_of};
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

#[async_trait]
impl ReleaseKind for PublishOptions {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn rules(&self) -> Result<serde_json::Value> {
        rules_of(self)
    }

    fn needs(&self) -> Option<Needs<'_>> {
        let fields = self.folder.fields().chain(self.name.fields());
        Some(Needs {
            fields: fields.map(str::to_owned).collect(),
            renditions: &self.renditions,
        })
    }

    async fn deliveries(&self, flow: &ReleaseFlow, scene: &mut Scene) -> Result<Routed> {
        let mut routed = Routed::default();
        for (id, held) in &scene.selected {
            let rule = RenditionRule::of(&self.renditions, &held.asset.path.extension());
            let filling = Filling {
                holding: held,
                rendition: rule.map(|rule| rule.rendition.as_str()),
                extension: rule.and_then(|rule| rule.extension.as_deref()),
            };
            let folder = self.folder.folder(&flow.options.root, filling);
            let place = folder.and_then(|folder| Ok((folder, self.name.name(filling)?)));
            match place {
                Err(reason) => routed.held.push((id.clone(), reason)),
                Ok((folder, file_name)) => routed.deliveries.push(Delivery {
                    asset: id.clone(),
                    slot: filling.rendition.unwrap_or("original").to_owned(),
                    version: None,
                    rendition: filling.rendition.map(str::to_owned),
                    why: format!("for {}", flow.options.rights.audience),
                    uses: vec![Use::default()],
                    folder,
                    file_name,
                    stays: false,
                    fields: Vec::new(),
                }),
            }
        }
        Ok(routed)
    }
}
