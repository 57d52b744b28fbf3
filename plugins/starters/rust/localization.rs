//! A file's name says its language: `key-visual_de.jpg` goes to every market that needs German.

use serde::Deserialize;
use windlass_sdk::{
    AssetView, Host, LocalizationHook, Market, Origin, Placement, Plugin, Routed, Routing,
};

/// What the operator writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MyPlugin {
    /// The language that stands in for one that a piece does not have.
    fallback: String,
}

impl Default for MyPlugin {
    fn default() -> Self {
        MyPlugin {
            fallback: "en".to_owned(),
        }
    }
}

impl Plugin for MyPlugin {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn configure(config: &str, _granted: &[Origin], _host: &dyn Host) -> Result<Self, String> {
        serde_json::from_str(config).map_err(|error| error.to_string())
    }
}

impl LocalizationHook for MyPlugin {
    fn route(&self, asset: &AssetView, markets: &[Market], _host: &dyn Host) -> Routed {
        let name = asset.file_name();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let Some((piece, own)) = stem.rsplit_once('_') else {
            let reason = "its name ends in no language such as key-visual_de.jpg";
            return Routed::held(reason, "language");
        };
        let mut routing = Routing::default();
        for market in markets {
            for language in &market.languages {
                // The host takes a stand-in only where nothing better is found.
                let fallback = match own {
                    own if own == language => 0,
                    own if own == self.fallback => 1,
                    _ => continue,
                };
                for channel in &market.channels {
                    routing.placements.push(Placement {
                        market: market.code.clone(),
                        language: language.clone(),
                        channel: channel.clone(),
                        folder: format!("/{}/{language}/{channel}", market.code),
                        file_name: name.to_owned(),
                        rendition: None,
                        piece: piece.to_owned(),
                        fallback,
                        rule: format!("language {own}"),
                    });
                }
            }
        }
        if routing.placements.is_empty() {
            routing.remark(own, "no market needs this language");
        }
        Routed::Ready(routing)
    }
}

windlass_sdk::plugin!(MyPlugin: localization);
