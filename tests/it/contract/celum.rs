//! CELUM: the fixtures played on the emulated tenant and through the client.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use jiff::civil::date;
use serde_json::{Value as Json, json};
use url::Url;
use windlass_celum::{CelumEndpoint, CelumOptions, CelumProfile};
use windlass_core::{
    Asset, AssetId, AssetPath, Assigned, Availability, Blake3, Change, ChangePage, Chunk,
    Correlation, Destination, Digests, Draft, Evidence, Placed, Readable, Result, Revision, Scope,
    Secret, Sink, Source, Value,
};
use windlass_http::Transport;
use windlass_sandbox::celum::{Celum, CelumOptions as Tenant, Profile};
use windlass_sandbox::fault::Faults;

use super::client::{Scripted, judge};
use super::fixture::{Fixture, Fixtures, Only};
use super::pattern::Bindings;
use super::sandbox::{self, Emulator};

fn base(host: &str) -> &'static str {
    match host {
        "api" => "https://dam.example.com/content-api/v1",
        other => panic!("{other} is no host of CELUM"),
    }
}

impl Emulator for Arc<Celum> {
    fn start(faults: &str, bindings: &mut Bindings) -> Self {
        let tenant = Tenant {
            seed: 5,
            faults: Faults::new(faults.parse().unwrap(), 5),
            profile: Profile {
                index_lag: 0,
                range: true,
                ..Profile::default()
            },
            ..Tenant::default()
        };
        let celum = Celum::open(tenant).unwrap();
        celum.seed_default_tenant().unwrap();
        celum.set_transfer_base(Url::parse("https://up.example.com/").unwrap());
        bindings.bind("<key2>", celum.api_key().expose());
        celum
    }

    fn arrange(&self, given: &Json, bindings: &mut Bindings) {
        let key = given["key"].as_str();
        bindings.bind(
            "<key2>",
            key.unwrap_or_else(|| panic!("nobody knows how to arrange {given}")),
        );
    }

    fn router(&self, host: &str) -> Router {
        match host {
            "transfer" => self.router_transfer(),
            _ => self.router_api(),
        }
    }

    fn base(&self, host: &str) -> &'static str {
        base(host)
    }

    fn check_answer(&self, _: &[u8]) {}
}

#[tokio::test]
async fn the_sandbox_answers_as_celum_documents() {
    sandbox::hold::<Arc<Celum>>("celum").await;
}

#[tokio::test(start_paused = true)]
async fn the_client_asks_and_understands_as_celum_documents() {
    let fixtures = Fixtures::read("celum");
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

fn sample(placeholder: &str) -> String {
    Bindings::default().text(placeholder)
}

/// The tenant's checksum is known, except where finding it out is what the fixture is about.
async fn connect(fixture: &Fixture, script: Arc<Scripted>) -> Result<Arc<CelumEndpoint>> {
    let known = "range = true\nchecksum = { algorithm = \"md5\", encoding = \"hex-lower\" }";
    let profile = match fixture.group() {
        "search" => CelumProfile::default(),
        _ => CelumProfile::parse(known).unwrap(),
    };
    let root = Url::parse(base("api")).unwrap();
    let options = CelumOptions {
        tries: 3,
        ..CelumOptions::new("dam", root, Secret::new(sample("<key2>")), profile)
    };
    let transport: Arc<dyn Transport> = script;
    CelumEndpoint::connect(transport, options).await
}

fn field(name: &str, value: Value) -> Assigned {
    Assigned {
        field: name.to_owned(),
        value,
        rule: "contract".to_owned(),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn fair(german: &str) -> Assigned {
    let texts =
        [("de", german), ("en", "Fair")].map(|(locale, text)| (locale.to_owned(), text.to_owned()));
    field("campaignName", Value::LocalizedText(BTreeMap::from(texts)))
}

/// What the fixtures' asset is.
fn draft() -> Draft {
    Draft {
        name: "Hall 7".to_owned(),
        file_name: "hall-7.tif".to_owned(),
        collection: AssetPath::new("/Brand Library/Inbox"),
        asset_type: Some("campaignAsset".to_owned()),
        fields: vec![field("campaignId", text("CMP-2041")), fair("Messe")],
        availability: None,
        handing: None,
        yields: std::collections::BTreeSet::new(),
    }
}

/// What it is to be, so that exactly the patch of this name is due.
fn changed(name: &str) -> Draft {
    let mut draft = draft();
    let fields = &mut draft.fields;
    match name {
        "name" | "name_conflict" => draft.name = "Hall 7 (final)".to_owned(),
        "text" | "text_refused" => fields[0] = field("campaignId", text("CMP-2042")),
        "localized" => {
            let texts = BTreeMap::from([("de".to_owned(), "Messe 7".to_owned())]);
            fields[1] = field("campaignName", Value::LocalizedText(texts));
        }
        "number" => fields.push(field("year", Value::Number(2026))),
        "date" => fields.push(field("shootDate", Value::Date(date(2026, 3, 1)))),
        "dropdown" => fields.push(field("approval", text("Approved"))),
        "boolean" => fields.push(field("rightsCleared", Value::Boolean(true))),
        "double" => fields.push(field("duration", Value::Decimal(2.5))),
        "text_area" => fields.push(field("description", text("Two lines"))),
        "parent" => draft.collection = AssetPath::new("/Brand Library/Campaigns"),
        "availability" => {
            draft.availability = Some(Availability::Dated {
                from: Some("2026-01-01T00:00:00Z".parse().unwrap()),
                to: Some("2026-12-31T23:59:59Z".parse().unwrap()),
            });
        }
        other => panic!("no draft for {other}"),
    }
    draft
}

fn asset() -> Asset {
    Asset {
        id: AssetId::new(sample("<asset>")),
        path: AssetPath::new("/Brand Library/Inbox/hall-7.tif"),
        revision: Revision::new(sample("<version>")),
        size: 3,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

/// Does with the client what the fixture's request is part of.
async fn operate(fixture: &Fixture, script: Arc<Scripted>) -> Result<Json> {
    let endpoint = connect(fixture, script).await?;
    let asset = asset();
    let name = fixture.name.rsplit('/').next().unwrap();
    match fixture.group() {
        "users_me" => Ok(json!("connected")),
        "asset_types" | "asset_type" | "collection_types" | "collections" => {
            let mut short = draft();
            short.fields.truncate(1);
            let faults = endpoint.check_drafts(&[short]).await?;
            let texts = |faults: Vec<windlass_core::Fault>| {
                faults.iter().map(ToString::to_string).collect()
            };
            Ok(json!(
                faults.into_iter().map(texts).collect::<Vec<Vec<String>>>()
            ))
        }
        "upload_ticket" | "upload" | "create_asset" => {
            place(&endpoint, &Destination::New { draft: draft() }).await
        }
        "add_version" => {
            place(
                &endpoint,
                &Destination::Version {
                    asset: asset.id,
                    draft: draft(),
                    replaces: None,
                },
            )
            .await
        }
        "patch" => endpoint
            .set_metadata(&asset.id, &changed(name))
            .await
            .map(|()| json!("as it should be")),
        "asset" => {
            let found = endpoint.stat(&asset.id).await?;
            Ok(serde_json::to_value(found).unwrap())
        }
        "search" if name == "everything" => {
            let learned = endpoint.calibrate().await?;
            Ok(json!(
                learned.map_or("nothing to learn from", |_| "learned")
            ))
        }
        "search" => {
            let scope = Scope {
                root: AssetPath::new("/Brand Library/Inbox"),
            };
            endpoint.changes(&scope, None).await.map(page)
        }
        "download_formats" | "download_url" | "download" => {
            let mut read = Vec::new();
            endpoint.read(&asset, 1..3, &mut read).await?;
            Ok(json!({ "read": String::from_utf8(read).unwrap() }))
        }
        "asset_versions" | "delete_asset" => {
            let placed = Placed {
                asset: asset.id,
                revision: asset.revision,
                size: 3,
                content_hash: None,
                evidence: Evidence::E0,
            };
            endpoint.remove(&placed).await.map(|()| json!("gone"))
        }
        other => panic!("no operation for {other}"),
    }
}

fn page(page: ChangePage) -> Json {
    let assets: Vec<Asset> = page
        .changes
        .into_iter()
        .map(|change| match change {
            Change::Asset(asset) => asset,
            other => panic!("{other:?}"),
        })
        .collect();
    let cursor = page.cursor.as_str();
    json!({"assets": assets, "folders": [], "removed": [], "cursor": cursor, "more": page.more})
}

async fn place(endpoint: &CelumEndpoint, destination: &Destination) -> Result<Json> {
    let mark = Correlation::derive("contract", "fixtures", "hall", "1");
    let session = endpoint.begin(destination, 3, &mark).await?;
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await?;
    let digests = Digests {
        size: 3,
        blake3: Blake3::of(b"abc"),
        content_hash: None,
    };
    let placed = session.commit(&digests).await?;
    Ok(serde_json::to_value(placed).unwrap())
}
