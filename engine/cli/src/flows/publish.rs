//! `kind = "publish"`: assets appear in a folder, each once.

use async_trait::async_trait;
use windlass_core::{Error, Kind, Result};
use windlass_flow::{PublishOptions, Template};

use super::{ReleaseConfig, WiredKind};
use crate::config::{Config, RenditionConfig, release_config, rendition_rules};
use crate::wiring::Wiring;

release_config! {
    /// Assets appear in a folder, each once.
    PublishConfig {
        /// The folder below `root`, with variables such as `{field:client}`.
        #[serde(default)]
        folder: String,
        /// The file's name.
        #[serde(default = "file_name")]
        name: String,
        /// Which assets leave as a rendition; the first rule that fits counts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        renditions: Vec<RenditionConfig>,
    }
}

fn file_name() -> String {
    "{title}.{ext}".to_owned()
}

impl PublishConfig {
    /// Its templates, read.
    fn templates(&self, name: &str) -> Result<(Template, Template)> {
        let read = |key: &str, text: &str| {
            text.parse::<Template>()
                .map_err(|why| Error::new(Kind::Config, format!("flow.{name}.{key}: {why}")))
        };
        Ok((read("folder", &self.folder)?, read("name", &self.name)?))
    }
}

#[async_trait]
impl ReleaseConfig for PublishConfig {
    fn check(&self, name: &str, _: &Config) -> Result<()> {
        self.templates(name).map(drop)
    }

    async fn wire(&self, name: &str, _: &Wiring<'_>) -> Result<WiredKind> {
        let (folder, file) = self.templates(name)?;
        Ok(WiredKind::of(PublishOptions {
            folder,
            name: file,
            renditions: rendition_rules(&self.renditions),
        }))
    }
}
