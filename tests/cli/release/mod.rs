//! Release flows on the command line, against both emulated services in this process: what is printed, what is refused, and
//! what the shipped plugins make of it.

mod localizing;
mod refusals;
mod rights;
mod syncing;
mod undoing;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::runtime::Runtime;
use windlass_celum::{CelumEndpoint, CelumOptions, CelumProfile};
use windlass_core::{
    AssetPath, Assigned, Blake3, Chunk, ContentHash, Correlation, Destination, Digests, Draft,
    Secret, Sink, Value,
};
use windlass_http::{ReqwestTransport, TransportOptions};
use windlass_sandbox::celum::{Availability, Celum, Profile};
use windlass_sandbox::dropbox::Dropbox;
use windlass_sandbox::{Sandbox, SandboxOptions};

use crate::program::{Finished, finish, windlass};

/// Both services, a folder with a configuration, and a client to put assets with.
struct Bed {
    runtime: Runtime,
    sandbox: Sandbox,
    dam: Arc<CelumEndpoint>,
    dir: tempfile::TempDir,
}

impl Bed {
    fn new(flows: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let options = SandboxOptions {
            seed: 5,
            celum_profile: Profile {
                index_lag: 0,
                preview_delay: 0,
                preview_failure_percent: 0,
                range: true,
                ..Profile::default()
            },
            ..SandboxOptions::default()
        };
        let (sandbox, dam) = runtime.block_on(async {
            let sandbox = Sandbox::start(options).await.unwrap();
            let at = sandbox.endpoints();
            let key = Secret::new(at.celum_api_key.clone());
            let profile = CelumProfile {
                index_lag: 0,
                range: true,
                ..CelumProfile::default()
            };
            let options = CelumOptions::new("dam", at.celum_api_root.clone(), key, profile);
            let network = Arc::new(ReqwestTransport::new(TransportOptions::default()).unwrap());
            let dam = CelumEndpoint::connect(network, options).await.unwrap();
            (sandbox, dam)
        });
        let bed = Bed {
            runtime,
            sandbox,
            dam,
            dir: tempfile::tempdir().unwrap(),
        };
        fs::write(
            bed.dir.path().join("tenant.toml"),
            "indexLag = 0\nrange = true\n",
        )
        .unwrap();
        bed.configure(flows);
        bed
    }

    /// Writes the configuration with these flows and plugins.
    fn configure(&self, flows: &str) {
        let at = self.sandbox.endpoints();
        let text = format!(
            r#"
[endpoint.share]
kind = "dropbox"
app_key = "{}"
app_secret = {{ env = "DROPBOX_APP_SECRET" }}
refresh_token = {{ env = "DROPBOX_REFRESH_TOKEN" }}
api_url = "{}"
content_url = "{}"
notify_url = "{}"

[endpoint.dam]
kind = "celum"
api_root = "{}"
api_key = {{ env = "CELUM_API_KEY" }}
profile = "tenant.toml"
{flows}
"#,
            at.dropbox_app_key,
            at.dropbox_api,
            at.dropbox_content,
            at.dropbox_notify,
            at.celum_api_root,
        );
        fs::write(self.dir.path().join("windlass.toml"), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Finished {
        let at = self.sandbox.endpoints();
        finish(
            windlass(self.dir.path())
                .args(args)
                .env("DROPBOX_APP_SECRET", &at.dropbox_app_secret)
                .env("DROPBOX_REFRESH_TOKEN", &at.dropbox_refresh_token)
                .env("CELUM_API_KEY", &at.celum_api_key)
                .env("COLUMNS", "120"),
        )
    }

    fn celum(&self) -> &Arc<Celum> {
        self.sandbox.celum()
    }

    fn dropbox(&self) -> &Arc<Dropbox> {
        self.sandbox.dropbox()
    }

    /// An approved asset that may be used, with these fields.
    fn asset(&self, file_name: &str, bytes: &[u8], fields: &[(&str, serde_json::Value)]) -> u64 {
        let id = self.runtime.block_on(self.put(file_name, bytes));
        let celum = self.celum();
        celum.set_field(id, "approval", &json!(1)).unwrap();
        for (field, value) in fields {
            celum.set_field(id, field, value).unwrap();
        }
        self.switch(id, true);
        id
    }

    async fn put(&self, file_name: &str, bytes: &[u8]) -> u64 {
        let campaign = Assigned {
            field: "campaignId".to_owned(),
            value: Value::Text("CMP-2041".to_owned()),
            rule: "test".to_owned(),
        };
        let draft = Draft {
            name: file_name.to_owned(),
            file_name: file_name.to_owned(),
            collection: AssetPath::new("/Brand Library/Campaigns/Spring"),
            asset_type: Some("campaignAsset".to_owned()),
            fields: vec![campaign],
            availability: None,
            handing: None,
            yields: std::collections::BTreeSet::new(),
        };
        let size = bytes.len() as u64;
        let mark = Correlation::derive("test", "test", file_name, "1");
        let destination = Destination::New { draft };
        let session = self.dam.begin(&destination, size, &mark).await.unwrap();
        let chunk = Chunk::new(0, Bytes::copy_from_slice(bytes));
        session.append(chunk).await.unwrap();
        let digests = Digests {
            size,
            blake3: Blake3::of(bytes),
            content_hash: Some(ContentHash::of(bytes)),
        };
        let placed = session.commit(&digests).await.unwrap();
        placed.asset.as_str().parse().unwrap()
    }

    fn switch(&self, id: u64, on: bool) {
        let availability = Availability::Direct(on);
        self.celum().set_availability(id, &availability).unwrap();
    }

    /// The paths of all files of the account.
    fn files(&self) -> Vec<String> {
        let tree = self.dropbox().tree().into_iter();
        let files = tree.filter(|entry| entry.file.is_some());
        files.map(|entry| entry.path_display).collect()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let tree = self.dropbox().tree();
        let found = tree.iter().find(|entry| entry.path_display == path);
        let file = found.expect(path).file.as_ref().unwrap();
        let blobs = self.dropbox().blobs();
        blobs.read(file.blob, 0..file.size).unwrap().to_vec()
    }
}

/// The folder of a plugin that this repository ships; it is built when it is first used.
fn shipped(name: &str) -> String {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    plugins.join(name).to_str().unwrap().to_owned()
}

/// Approved assets for the press, with whatever a test adds to the flow.
fn press(more: &str) -> String {
    format!(
        r#"
[flow.press]
kind = "publish"
from = "dam"
to = "share"
root = "/Press"
folder = "{{field:campaignId}}"
collection = "/Brand Library"
where = {{ approval = "Approved" }}
receipts = true
link = {{ days = 14 }}
share = [{{ viewers = ["ada@press.example"] }}]
withdraw = {{ quarantine = "/Quarantine", notes = true }}
{more}
"#
    )
}

/// What is printed, without ids of runs.
fn steady(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words = line.split(' ').map(|word| {
            let id = word.trim_end_matches(':');
            match id.len() == 36 && id.matches('-').count() == 4 {
                true => "RUN",
                false => word,
            }
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}
