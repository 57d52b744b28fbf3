//! Dropbox: the fixtures played on the emulated account and through the client.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use serde_json::{Value, json};
use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Change, ChangePage, Chunk, ContentHash, Correlation, Cursor,
    Destination, Digests, Draft, Evidence, Placed, Readable, Result, Revision, Scope, Secret, Sink,
    Source,
};
use windlass_dropbox::{Credential, DropboxEndpoint, DropboxOptions, PathRoot};
use windlass_http::{Jitter, Transport};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account};

use super::client::{Scripted, judge, outcome};
use super::fixture::{Fixture, Fixtures, Only};
use super::pattern::Bindings;
use super::sandbox::{self, Emulator};

fn base(host: &str) -> &'static str {
    match host {
        "api" => "https://api.dropboxapi.com",
        "content" => "https://content.dropboxapi.com",
        "notify" => "https://notify.dropboxapi.com",
        other => panic!("{other} is no host of Dropbox"),
    }
}

impl Emulator for Arc<Dropbox> {
    fn start(faults: &str, bindings: &mut Bindings) -> Self {
        let account = Account {
            faults: faults.parse().unwrap(),
            seed: 5,
            ..Account::default()
        };
        let dropbox = Dropbox::open(account).unwrap();
        bindings.bind(
            "<bearer>",
            format!("Bearer {}", dropbox.access_token().expose()),
        );
        bindings.bind("<refresh>", dropbox.refresh_token().expose());
        bindings.bind("<key>", dropbox.app_key());
        bindings.bind("<secret>", dropbox.app_secret().expose());
        dropbox
    }

    fn arrange(&self, given: &Value, bindings: &mut Bindings) {
        let text = |name: &str| given[name].as_str();
        if let Some(path) = text("file") {
            let bytes = Bytes::from(text("text").unwrap().to_owned());
            let rev = self.put_file(path, bytes, None).unwrap();
            let found = self
                .tree()
                .into_iter()
                .find(|entry| entry.path_display == path)
                .unwrap();
            text("rev")
                .into_iter()
                .for_each(|name| bindings.bind(name, rev.clone()));
            text("id")
                .into_iter()
                .for_each(|name| bindings.bind(name, found.id.clone()));
        } else if let Some(path) = text("folder") {
            self.put_folder(path).unwrap();
        } else if let Some(path) = text("remove") {
            self.remove(path).unwrap();
        } else if let Some(path) = text("restricted") {
            self.set_restricted(path, true).unwrap();
        } else if let Some(tag) = given["tag"].as_array() {
            self.add_tag(tag[0].as_str().unwrap(), tag[1].as_str().unwrap())
                .unwrap();
        } else if given["reset_cursors"] == true {
            self.reset_cursors().unwrap();
        } else if given["unlink"] == true {
            self.unlink().unwrap();
        } else {
            let token = match text("token") {
                Some("expired") => self.access_token_with(&["files.metadata.read"], Duration::ZERO),
                Some("narrow") => {
                    self.access_token_with(&["account_info.read"], Duration::from_secs(60))
                }
                Some("foreign") => Secret::new("sl.somebodyElses"),
                _ => panic!("nobody knows how to arrange {given}"),
            };
            bindings.bind("<bearer>", format!("Bearer {}", token.expose()));
        }
    }

    fn router(&self, host: &str) -> Router {
        match host {
            "api" => self.router_api(),
            "content" => self.router_content(),
            _ => self.router_notify(),
        }
    }

    fn base(&self, host: &str) -> &'static str {
        base(host)
    }

    /// JSON is compact, its keys in the order of their bytes: what puts `.tag` first.
    fn check_answer(&self, body: &[u8]) {
        if let Ok(value) = serde_json::from_slice::<Value>(body) {
            assert_eq!(String::from_utf8_lossy(body), compact(&value));
        }
    }
}

/// Compact JSON with sorted keys, whatever order the library keeps.
fn compact(value: &Value) -> String {
    match value {
        Value::Array(list) => format!(
            "[{}]",
            list.iter().map(compact).collect::<Vec<_>>().join(",")
        ),
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| name.as_bytes());
            let members = members
                .iter()
                .map(|(name, value)| format!("{}:{}", json!(name), compact(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

#[tokio::test]
async fn the_sandbox_answers_as_dropbox_documents() {
    sandbox::hold::<Arc<Dropbox>>("dropbox").await;
}

#[tokio::test(start_paused = true)]
async fn the_client_asks_and_understands_as_dropbox_documents() {
    let fixtures = Fixtures::read("dropbox");
    let mut wrong = Vec::new();
    for fixture in fixtures
        .all()
        .iter()
        .filter(|fixture| fixture.only != Some(Only::Sandbox))
    {
        let script = Scripted::new(&fixtures, &fixture.name, base);
        let result = Box::pin(operate(fixture, Arc::clone(&script))).await;
        wrong.extend(judge(fixture, &script, result).err());
    }
    assert!(
        wrong.is_empty(),
        "{} fixtures are taken otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// An access token that expires is renewed once, and the call goes out again with the new one.
#[tokio::test(start_paused = true)]
async fn an_expired_token_is_renewed_and_the_call_repeated() {
    let fixtures = Fixtures::read("dropbox");
    let script = Scripted::new(&fixtures, "token/refresh", base);
    let endpoint = connect(fixtures.get("token/refresh"), Arc::clone(&script))
        .await
        .unwrap();
    let listed = endpoint.changes(&campaign(), None).await;
    assert!(listed.is_ok(), "{listed:?}");
    script.check().unwrap();
}

fn sample(placeholder: &str) -> String {
    Bindings::default().text(placeholder)
}

fn campaign() -> Scope {
    Scope {
        root: AssetPath::new("/Campaign"),
    }
}

async fn connect(fixture: &Fixture, script: Arc<Scripted>) -> Result<Arc<DropboxEndpoint>> {
    let credential = match fixture.group() {
        "token" => Credential::Refresh {
            app_key: sample("<key>"),
            app_secret: Some(Secret::new(sample("<secret>"))),
            refresh_token: Secret::new(sample("<refresh>")),
        },
        _ => Credential::AccessToken(Secret::new(sample("<token>"))),
    };
    let namespace = &fixture.request().json_headers.get("dropbox-api-path-root");
    let namespace = namespace.and_then(|root| root["namespace_id"].as_str());
    let options = DropboxOptions {
        path_root: match namespace {
            Some(id) => PathRoot::Namespace(id.to_owned()),
            None if fixture.group() == "account" => PathRoot::Detect,
            None => PathRoot::Home,
        },
        // The other fixtures' session takes its chunks in order.
        concurrent_sessions: fixture.group() == "concurrent",
        stamps: fixture.group() == "stamps",
        tries: 3,
        patience: Duration::from_secs(60),
        jitter: Jitter::seeded(1),
        ..DropboxOptions::new("studio", credential)
    };
    let transport: Arc<dyn Transport> = script;
    DropboxEndpoint::connect(transport, options).await
}

/// Does with the client what the fixture's request is part of.
async fn operate(fixture: &Fixture, script: Arc<Scripted>) -> Result<Value> {
    let endpoint = connect(fixture, script).await?;
    let asset = asset();
    match fixture.group() {
        "account" => Ok(
            match format!("{endpoint:?}")
                .contains(&format!("Root {{ root: {:?} }}", sample("<root>")))
            {
                true => json!("team space"),
                false => json!("no team space"),
            },
        ),
        "token" => endpoint
            .changes(&campaign(), None)
            .await
            .map(|_| json!("connected")),
        "list_folder" | "refusals" => endpoint.changes(&campaign(), None).await.map(page),
        "list_folder_continue" => {
            let cursor = Cursor::new(sample("<cursor>"));
            endpoint.changes(&campaign(), Some(&cursor)).await.map(page)
        }
        "get_metadata" => {
            let found = endpoint.stat(&asset.id).await?;
            Ok(serde_json::to_value(found).unwrap())
        }
        "download" => {
            let mut read = Vec::new();
            endpoint.read(&asset, 0..1, &mut read).await?;
            Ok(json!({ "read": String::from_utf8(read).unwrap() }))
        }
        "tags_get" => endpoint.tags(&[asset]).await.map(|tags| json!(tags)),
        "stamps" => match fixture.name.as_str() {
            "stamps/add" | "stamps/no_room" | "stamps/upload" => place(&endpoint, "A", 4096).await,
            _ => {
                let listed = endpoint.stamped(&campaign(), None).await?;
                let stamps = listed.stamps.iter();
                Ok(stamps
                    .map(|(id, stamp)| json!([id, stamp.to_string()]))
                    .collect())
            }
        },
        "upload" => place(&endpoint, "A", 4096).await,
        "upload_session_start"
        | "upload_session_append"
        | "upload_session_finish"
        | "concurrent" => place(&endpoint, "A", (4 << 20) + 1).await,
        "start_batch" | "append_batch" | "finish_batch" => {
            let (one, other) =
                futures_util::join!(place(&endpoint, "A", 3), place(&endpoint, "B", 5));
            Ok(json!([outcome(one), outcome(other)]))
        }
        "delete" | "list_revisions" => {
            let placed = Placed {
                asset: asset.id,
                revision: asset.revision,
                size: 1,
                content_hash: None,
                evidence: Evidence::E0,
            };
            endpoint.remove(&placed).await.map(|()| json!("gone"))
        }
        "copy_batch" => {
            let held = Placed {
                asset: asset.id,
                revision: asset.revision,
                size: 1,
                content_hash: None,
                evidence: Evidence::E0,
            };
            let (one, other) =
                futures_util::join!(copy(&endpoint, &held, "B"), copy(&endpoint, &held, "C"));
            Ok(json!([one, other]))
        }
        "create_folder" => {
            let path = AssetPath::new("/Campaign/New");
            endpoint.create_folder(&path).await.map(|()| json!("there"))
        }
        other => panic!("no operation for {other}"),
    }
}

/// What a copy comes to; `bytes` where they have to be sent.
async fn copy(endpoint: &DropboxEndpoint, held: &Placed, name: &str) -> Value {
    let destination = destination(name);
    let digests = Digests {
        size: 1,
        blake3: Blake3::of(b"A"),
        content_hash: Some(ContentHash::of(b"A")),
    };
    let mark = Correlation::derive("fixture", "", name, "");
    match endpoint.reuse(held, &destination, &mark, &digests).await {
        Ok(None) => json!("bytes"),
        Ok(Some(placed)) => serde_json::to_value(placed).unwrap(),
        Err(error) => outcome(Err(error)),
    }
}

fn asset() -> Asset {
    Asset {
        id: AssetId::new(sample("<id>")),
        path: AssetPath::new("/Campaign/Hero_01.tif"),
        revision: Revision::new(sample("<rev>")),
        size: 1,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

fn page(page: ChangePage) -> Value {
    let (mut assets, mut folders, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for change in page.changes {
        match change {
            Change::Asset(asset) => assets.push(serde_json::to_value(asset).unwrap()),
            Change::Folder(folder) => folders.push(folder.path),
            Change::Removed(path) => removed.push(path),
        }
    }
    let cursor = page.cursor.as_str();
    json!({"assets": assets, "folders": folders, "removed": removed, "cursor": cursor, "more": page.more})
}

/// Uploads so many times the letter A.
fn destination(name: &str) -> Destination {
    Destination::New {
        draft: Draft {
            name: name.to_owned(),
            file_name: format!("{name}.bin"),
            collection: AssetPath::new("/Campaign"),
            asset_type: None,
            fields: Vec::new(),
            availability: None,
            handing: None,
            yields: std::collections::BTreeSet::new(),
        },
    }
}

async fn place(endpoint: &DropboxEndpoint, name: &str, length: usize) -> Result<Value> {
    let bytes = Bytes::from(vec![b'A'; length]);
    let destination = destination(name);
    let mark = Correlation::derive("contract", "fixtures", name, "1");
    let session = endpoint.begin(&destination, length as u64, &mark).await?;
    for start in (0..length).step_by(4 << 20) {
        let end = length.min(start + (4 << 20));
        session
            .append(Chunk::new(start as u64, bytes.slice(start..end)))
            .await?;
    }
    let digests = Digests {
        size: length as u64,
        blake3: Blake3::of(&bytes),
        content_hash: Some(ContentHash::of(&bytes)),
    };
    let placed = session.commit(&digests).await?;
    Ok(serde_json::to_value(placed).unwrap())
}
