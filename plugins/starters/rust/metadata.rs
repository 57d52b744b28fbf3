//! Campaign folders become metadata: `/…/CLIENT/CMP-1234-Title/…/file`.

use serde::Deserialize;
use windlass_sdk::{
    AssetView, Host, Localized, Mapping, MetadataHook, Origin, Plugin, Value, Verdict,
};

/// What the operator writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MyPlugin {
    /// The collection below which each client has one.
    collection: String,
}

impl Default for MyPlugin {
    fn default() -> Self {
        MyPlugin {
            collection: "/Campaigns".to_owned(),
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

impl MetadataHook for MyPlugin {
    fn describe(&self, asset: &AssetView, host: &dyn Host) -> Verdict {
        let Some((code, id, title)) = campaign(&asset.path) else {
            let reason = "it is in no campaign folder such as ACME/CMP-1234-Summer";
            return Verdict::held(reason, "campaign folder");
        };
        // The operator's table of client codes.
        let client = match host.lookup("clients", code, None) {
            Ok(Some(client)) => client,
            Ok(None) => {
                return Verdict::held(format!("client code \"{code}\" is unknown"), "client codes");
            }
            Err(_) => return Verdict::held("there is no table \"clients\"", "client codes"),
        };
        let title = title.replace('-', " ");
        let folder = format!("folder {id}");
        let mut mapping = Mapping::default();
        mapping.assign(
            "client",
            Value::Text(client.clone()),
            format!("client code {code}"),
        );
        mapping.assign("campaignId", Value::Text(id.to_owned()), &*folder);
        let in_english = Localized {
            locale: "en".to_owned(),
            text: title.clone(),
        };
        mapping.assign(
            "campaignTitle",
            Value::LocalizedText(vec![in_english]),
            &*folder,
        );
        mapping.assign(
            "keywords",
            Value::Keywords(vec![title, client.clone()]),
            &*folder,
        );
        mapping.collection = Some(format!("{}/{client}/{id}", self.collection));
        mapping.asset_type = asset_type(asset.file_name()).map(str::to_owned);
        if asset.file_name().to_lowercase().contains("draft") {
            mapping.remark(id, "a file whose name says draft was approved");
        }
        Verdict::Ready(mapping)
    }
}

/// The client's code, the campaign's id and its title: from the first folder that names a campaign.
fn campaign(path: &str) -> Option<(&str, &str, &str)> {
    let folders: Vec<&str> = path.split('/').collect();
    let above = &folders[..folders.len() - 1];
    above.windows(2).find_map(|pair| {
        let (digits, title) = pair[1].strip_prefix("CMP-")?.split_once('-')?;
        let is_id = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let id = &pair[1][..4 + digits.len()];
        (is_id && !pair[0].is_empty() && !title.is_empty()).then_some((pair[0], id, title))
    })
}

fn asset_type(file_name: &str) -> Option<&'static str> {
    let (_, extension) = file_name.rsplit_once('.')?;
    match extension.to_lowercase().as_str() {
        "jpg" | "jpeg" | "png" | "tif" | "tiff" | "psd" => Some("Image"),
        "mp4" | "mov" => Some("Video"),
        _ => Some("Document"),
    }
}

windlass_sdk::plugin!(MyPlugin: metadata);
