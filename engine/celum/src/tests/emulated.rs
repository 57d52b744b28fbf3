//! The library on the emulated tenant, without sockets: what it says after what people did there.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Full;
use serde_json::json;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, Availability, Chunk, Destination, Draft, Holding, Kind,
    Library, Query, Related, Result, Retirement, Revision, Secret, Sink, Source, UploadSession,
    Usable, Usage, Value,
};
use windlass_http::{Body, Request, Response, SendError, Transport};
use windlass_sandbox::celum::{Availability as Seeded, Celum, Profile};
use windlass_sandbox::{Sandbox, SandboxOptions, Service};

use super::{assigned, digests, mark, profile};
use crate::{CelumEndpoint, CelumOptions, CelumProfile};

/// The network to the emulated tenant.
#[derive(Debug)]
struct Line(Service);

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let body = match request.body {
            Body::Bytes(bytes) => bytes,
            Body::Pieces(pieces) => pieces.join(),
            Body::Empty => Bytes::new(),
            Body::Stream { mut stream, .. } => {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    all.extend_from_slice(&piece.unwrap());
                }
                all.into()
            }
        };
        let mut asked = http::Request::new(Full::new(body));
        *asked.method_mut() = request.method;
        *asked.uri_mut() = request.url.as_str().parse().unwrap();
        *asked.headers_mut() = request.headers;
        let answer = self.0.call(asked).await;
        let answer = answer.map_err(|lost| SendError::answered(lost.to_string()))?;
        let (parts, body) = answer.into_parts();
        let pieces = body.into_data_stream();
        let pieces =
            pieces.map(|piece| piece.map_err(|error| SendError::answered(error.to_string())));
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body: pieces.boxed(),
        })
    }
}

/// An emulated tenant and the client of it.
pub(super) struct Bed {
    sandbox: Sandbox,
    pub(super) endpoint: Arc<CelumEndpoint>,
}

impl Bed {
    pub(super) async fn new() -> Self {
        Bed::with(Profile::default(), profile()).await
    }

    /// With another tenant, whose lists show everything at once and whose renditions never fail by chance.
    pub(super) async fn with(tenant: Profile, profile: CelumProfile) -> Self {
        let sandbox = Sandbox::in_process(SandboxOptions {
            celum_profile: Profile {
                index_lag: 0,
                preview_failure_percent: 0,
                range: profile.range,
                ..tenant
            },
            ..SandboxOptions::default()
        });
        let sandbox = sandbox.unwrap();
        let at = sandbox.endpoints();
        let key = Secret::new(at.celum_api_key.clone());
        let options = CelumOptions::new("dam", at.celum_api_root.clone(), key, profile);
        let network = Arc::new(Line(sandbox.service().clone()));
        let endpoint = CelumEndpoint::connect(network, options).await.unwrap();
        Bed { sandbox, endpoint }
    }

    pub(super) fn celum(&self) -> &Celum {
        self.sandbox.celum()
    }

    pub(super) async fn upload(
        &self,
        destination: &Destination,
        content: &'static [u8],
    ) -> Result<AssetId> {
        let size = content.len() as u64;
        let session = self.endpoint.begin(destination, size, &mark()).await?;
        let chunk = Chunk::new(0, Bytes::from_static(content));
        session.append(chunk).await?;
        Ok(session.commit(&digests(content)).await?.asset)
    }

    /// An upload with all its bytes that only has to be committed.
    pub(super) async fn begin(
        &self,
        destination: &Destination,
        content: &'static [u8],
    ) -> Box<dyn UploadSession> {
        let size = content.len() as u64;
        let session = self.endpoint.begin(destination, size, &mark()).await;
        let session = session.unwrap();
        let chunk = Chunk::new(0, Bytes::from_static(content));
        session.append(chunk).await.unwrap();
        session
    }

    /// A change by our own user that no upload makes.
    pub(super) async fn patch(&self, id: &AssetId, body: &serde_json::Value) {
        let asset = number(id).try_into().unwrap();
        let shared = &self.endpoint.shared;
        shared.patch(asset, body, "arranging").await.unwrap();
    }

    /// A new campaign asset in the inbox.
    pub(super) async fn put(&self, file_name: &str, content: &'static [u8]) -> AssetId {
        let destination = Destination::New {
            draft: draft(file_name),
        };
        self.upload(&destination, content).await.unwrap()
    }

    pub(super) async fn holding(&self, id: &AssetId) -> Holding {
        let found = self.endpoint.consult(std::slice::from_ref(id)).await;
        found.unwrap().remove(0).unwrap()
    }

    /// The file names that a query finds and does not object to.
    async fn found(&self, query: &Query) -> Vec<String> {
        let page = self.endpoint.holdings(query, None).await.unwrap();
        assert!(page.next.is_none());
        let holdings = page.holdings.iter();
        holdings
            .filter(|holding| query.objection(holding).is_none())
            .map(|holding| holding.asset.path.name().to_owned())
            .collect()
    }

    /// How often an asset was changed.
    fn patches(&self) -> u64 {
        let counters = self.celum().counters();
        counters
            .get("PATCH /assets/{id}")
            .map_or(0, |count| count.calls)
    }
}

pub(super) fn draft(file_name: &str) -> Draft {
    Draft {
        name: file_name.to_owned(),
        file_name: file_name.to_owned(),
        collection: AssetPath::new("/Brand Library/Inbox"),
        asset_type: Some("campaignAsset".to_owned()),
        fields: vec![assigned("campaignId", Value::Text("CMP-0142".to_owned()))],
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

pub(super) fn number(id: &AssetId) -> u64 {
    id.as_str().parse().unwrap()
}

fn asked(field: &str, wanted: Value) -> Query {
    Query {
        fields: vec![(field.to_owned(), wanted)],
        ..Query::default()
    }
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn served(range: bool) -> CelumProfile {
    CelumProfile { range, ..profile() }
}

/// The bytes of an asset, as its profile wants them read.
async fn read(endpoint: &CelumEndpoint, asset: &Asset) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if endpoint.shared.profile.range {
        let middle = asset.size / 2;
        endpoint.read(asset, 0..middle, &mut bytes).await?;
        endpoint.read(asset, middle..asset.size, &mut bytes).await?;
    } else {
        let mut stream: Box<dyn AssetStream> = endpoint.open(asset).await?;
        stream.next(asset.size, &mut bytes).await?;
        stream.end().await?;
    }
    Ok(bytes)
}

#[tokio::test(start_paused = true)]
async fn a_query_finds_by_every_type_of_field() {
    let bed = Bed::new().await;
    let one = number(&bed.put("one.txt", b"1").await);
    bed.put("two.txt", b"2").await;
    let celum = bed.celum();
    let spring = celum.ensure_collection("Keywords/Spring").unwrap();
    let client = celum.collection_id("Clients/Harbour Optics").unwrap();
    for (field, value) in [
        ("territories", json!("DE, AT")),
        ("description", json!("Two lines")),
        ("campaignName", json!({"de": "Messe", "en": "Fair"})),
        ("year", json!(2026)),
        ("duration", json!(2.5)),
        ("rightsCleared", json!(true)),
        // Written in another zone: what counts is the day that the tenant shows.
        ("licenceUntil", json!("2026-12-31T00:00:00+02:00")),
        ("approval", json!(1)),
        ("keywords", json!([spring])),
        ("client", json!([client])),
    ] {
        celum.set_field(one, field, &value).unwrap();
    }
    let day = "2026-12-30".parse().unwrap();
    for (field, wanted) in [
        ("territories", text("de, at")),
        ("description", text("Two lines")),
        ("campaignName", text("messe")),
        ("year", Value::Decimal(2026.0)),
        ("duration", Value::Decimal(2.5)),
        ("rightsCleared", Value::Boolean(true)),
        ("licenceUntil", Value::Date(day)),
        ("approval", text("approved")),
        ("keywords", Value::Keywords(names(&["Spring"]))),
        ("client", Value::References(names(&["harbour optics"]))),
    ] {
        let query = asked(field, wanted);
        assert_eq!(bed.found(&query).await, ["one.txt"], "{query:?}");
    }
    assert!(
        bed.found(&asked("year", Value::Number(2025)))
            .await
            .is_empty()
    );
    assert_eq!(
        bed.found(&asked("campaignId", text("CMP-0142")))
            .await
            .len(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_query_says_which_collection_type_or_field_is_not_there() {
    let bed = Bed::new().await;
    bed.put("one.txt", b"1").await;
    let elsewhere = Query {
        collection: AssetPath::new("/Brand Library/Campaigns"),
        ..Query::default()
    };
    assert!(bed.found(&elsewhere).await.is_empty());
    let all = Query {
        collection: AssetPath::new("/brand library"),
        asset_types: names(&["campaignAsset", "document"]),
        ..Query::default()
    };
    assert_eq!(bed.found(&all).await, ["one.txt"]);
    let error = async |query: Query| bed.endpoint.holdings(&query, None).await.unwrap_err();
    let nowhere = Query {
        collection: AssetPath::new("/Brand Library/Outbox"),
        ..Query::default()
    };
    assert_eq!(error(nowhere).await.kind(), Kind::NotFound);
    let mistyped = Query {
        asset_types: names(&["campaignAssets"]),
        ..Query::default()
    };
    let mistyped = error(mistyped).await;
    assert_eq!(mistyped.kind(), Kind::InvalidInput);
    assert!(mistyped.hint().unwrap().contains("campaignAsset"));
    let mistyped = error(asked("territory", text("DE"))).await;
    assert_eq!(mistyped.kind(), Kind::InvalidInput);
    assert!(mistyped.hint().unwrap().contains("territories"));
    let mistyped = error(asked("approval", text("Aproved"))).await;
    assert!(mistyped.hint().unwrap().contains("Approved"));
    let of_another_type = Query {
        asset_types: names(&["document"]),
        ..asked("approval", text("Approved"))
    };
    let hint = error(of_another_type).await;
    assert!(hint.hint().unwrap().contains("campaignAsset"));
}

#[tokio::test(start_paused = true)]
async fn what_people_decide_is_what_a_library_tells() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let one = number(&id);
    let fresh = bed.holding(&id).await;
    assert_eq!((fresh.usable, fresh.locked), (Usable::Unstated, None));
    assert!(fresh.is_released && fresh.has_file);
    let celum = bed.celum();
    // The tenant names the first ten only.
    let keywords: Vec<String> = (10..24).map(|n| format!("Keyword {n}")).collect();
    let ids = keywords.iter().map(|name| {
        celum
            .ensure_collection(&format!("Keywords/{name}"))
            .unwrap()
    });
    let ids: Vec<u64> = ids.collect();
    celum.set_field(one, "keywords", &json!(ids)).unwrap();
    celum.set_field(one, "approval", &json!(1)).unwrap();
    celum
        .set_field(one, "licenceUntil", &json!("2026-12-31T00:00:00Z"))
        .unwrap();
    celum.set_availability(one, &Seeded::Direct(false)).unwrap();
    celum.lock_asset(one, "being retouched").unwrap();
    let told = bed.holding(&id).await;
    assert_eq!(told.value("keywords"), Some(&Value::Keywords(keywords)));
    let approved = Value::References(names(&["Approved"]));
    assert_eq!(told.value("approval"), Some(&approved));
    let day = Value::Date("2026-12-31".parse().unwrap());
    assert_eq!(told.value("licenceUntil"), Some(&day));
    assert_eq!(told.value("embargo"), None);
    let off = Availability::Direct { available: false };
    assert_eq!(told.usable, Usable::Stated(off));
    assert_eq!(told.locked.as_deref(), Some("being retouched"));
    assert_eq!(told.asset_type.as_deref(), Some("campaignAsset"));
    assert_eq!(told.collections, [AssetPath::new("/Brand Library/Inbox")]);
    assert_eq!(told.findings, []);
}

#[tokio::test(start_paused = true)]
async fn assets_that_are_gone_have_no_holding() {
    let bed = Bed::new().await;
    let [one, two] = [
        bed.put("one.txt", b"1").await,
        bed.put("two.txt", b"2").await,
    ];
    bed.celum().delete_asset(number(&one)).unwrap();
    let hidden = AssetId::new("99999");
    let asked = [one.clone(), two.clone(), hidden, two.clone()];
    let found = bed.endpoint.consult(&asked).await.unwrap();
    let found: Vec<Option<AssetId>> = found
        .into_iter()
        .map(|holding| holding.map(|holding| holding.asset.id))
        .collect();
    assert_eq!(found, [None, Some(two.clone()), None, Some(two)]);
    for error in [
        bed.endpoint.related(&one).await.unwrap_err(),
        bed.endpoint.versions(&one).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_is_waited_for_and_read_as_the_profile_says() {
    for range in [true, false] {
        let tenant = Profile {
            preview_delay: 40,
            ..Profile::default()
        };
        let bed = Bed::with(tenant, served(range)).await;
        let id = bed.put("one.txt", b"1").await;
        let original = bed.endpoint.stat(&id).await.unwrap().unwrap();
        let since = tokio::time::Instant::now();
        let web = bed.endpoint.render(&original, "web").await.unwrap();
        assert!(since.elapsed().as_secs() >= 39, "{:?}", since.elapsed());
        assert_eq!(web.revision.as_str(), "1+web");
        let bytes = read(&bed.endpoint, &web).await.unwrap();
        assert_eq!(bytes.len() as u64, web.size);
        assert!(bytes.starts_with(b"\x89PNG"));
        // An asset's own state is the original's; and what was pinned stays what it was.
        let destination = Destination::Version {
            asset: id.clone(),
            draft: draft("one.txt"),
            replaces: Some(Revision::new("1")),
        };
        bed.upload(&destination, b"2nd").await.unwrap();
        let now = bed.endpoint.stat(&id).await.unwrap().unwrap();
        assert_eq!((now.revision.as_str(), now.size), ("2", 3));
        assert_eq!(read(&bed.endpoint, &web).await.unwrap(), bytes);
        let again = bed.endpoint.render(&original, "web").await.unwrap();
        assert_eq!(again, web);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_cannot_be_made_says_so() {
    for range in [true, false] {
        let bed = Bed::with(Profile::default(), served(range)).await;
        let listed = bed.endpoint.renditions().await.unwrap();
        let listed: Vec<_> = listed.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(listed, ["prvw", "web"]);
        let id = bed.put("unrenderable.indd", b"1").await;
        let original = bed.endpoint.stat(&id).await.unwrap().unwrap();
        let error = bed.endpoint.render(&original, "web").await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert!(error.message().contains("\"web\""), "{error}");
        let error = bed.endpoint.render(&original, "wed").await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint().unwrap().contains("web"));
        bed.celum().delete_asset(number(&id)).unwrap();
        let error = bed.endpoint.render(&original, "web").await.unwrap_err();
        assert_eq!(error.kind(), Kind::SourceChanged);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_asset_is_related_to_is_found_both_ways() {
    let bed = Bed::new().await;
    let mut ids = Vec::new();
    for name in ["cut.mp4", "master.mov", "licence.pdf"] {
        ids.push(bed.put(name, b"1").await);
    }
    let [cut, master, licence] = [0, 1, 2].map(|n: usize| number(&ids[n]));
    let celum = bed.celum();
    celum.relate(cut, "derivedFrom", master).unwrap();
    celum.relate(cut, "derivedFrom", master).unwrap();
    celum.relate(licence, "supportingDocument", cut).unwrap();
    let related = bed.endpoint.related(&ids[0]).await.unwrap();
    let one = |asset: &AssetId, kind: &str, is_outgoing| Related {
        asset: asset.clone(),
        kind: kind.to_owned(),
        is_outgoing,
    };
    let both = [
        one(&ids[1], "derivedFrom", true),
        one(&ids[2], "supportingDocument", false),
    ];
    assert_eq!(related, both);
    let back = bed.endpoint.related(&ids[1]).await.unwrap();
    assert_eq!(back, [one(&ids[0], "derivedFrom", false)]);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_written_once_however_often_it_is_said() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let usage = |instance: &str, url: &str| Usage {
        instance: instance.to_owned(),
        url: url.to_owned(),
    };
    let urls = || {
        let listed = bed.celum().external_references(number(&id)).unwrap();
        let ours = |one: &windlass_sandbox::celum::ReferenceSnapshot| {
            one.description == "mirror" && one.provider == "windlass"
        };
        assert!(listed.iter().all(ours), "{listed:?}");
        listed.into_iter().map(|one| one.url).collect::<Vec<_>>()
    };
    let endpoint = &bed.endpoint;
    let first = usage("shop/1", "https://x/1");
    for _ in 0..2 {
        endpoint.note_usage(&id, &first).await.unwrap();
    }
    assert_eq!((urls(), bed.patches()), (names(&["https://x/1"]), 1));
    let second = usage("shop/2", "https://x/2");
    endpoint.note_usage(&id, &second).await.unwrap();
    let moved = usage("shop/1", "https://y/1");
    endpoint.note_usage(&id, &moved).await.unwrap();
    assert_eq!(urls(), ["https://x/2", "https://y/1"]);
    for _ in 0..2 {
        endpoint.forget_usage(&id, "shop/2").await.unwrap();
    }
    assert_eq!((urls(), bed.patches()), (names(&["https://y/1"]), 5));
    bed.celum().delete_asset(number(&id)).unwrap();
    endpoint.note_usage(&id, &first).await.unwrap();
    endpoint.forget_usage(&id, "shop/1").await.unwrap();
    assert_eq!(bed.patches(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_asset_is_retired_once_and_never_from_its_last_collection() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let retire = async |how: Retirement| bed.endpoint.retire(&id, &how).await.unwrap();
    for _ in 0..2 {
        assert!(retire(Retirement::Unavailable).await);
    }
    assert_eq!(bed.patches(), 1);
    let off = Availability::Direct { available: false };
    assert_eq!(bed.holding(&id).await.usable, Usable::Stated(off));
    let inbox = AssetPath::new("/Brand Library/Inbox");
    assert!(!retire(Retirement::Unlink(inbox.clone())).await);
    let further = bed
        .celum()
        .collection_id("Brand Library/Campaigns")
        .unwrap();
    let change = json!({"parentIds": {"op": "MODIFY", "add": [further]}});
    bed.celum().edit(number(&id), &change).unwrap();
    for _ in 0..2 {
        assert!(retire(Retirement::Unlink(inbox.clone())).await);
    }
    let left = bed.holding(&id).await.collections;
    assert_eq!(left, [AssetPath::new("/Brand Library/Campaigns")]);
    for _ in 0..2 {
        assert!(retire(Retirement::Delete).await);
    }
    assert!(retire(Retirement::Unavailable).await);
    assert_eq!(bed.celum().asset_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_version_replaces_only_what_was_placed() {
    let bed = Bed::new().await;
    let id = bed.put("one.txt", b"1").await;
    let onto = |replaces: &str| Destination::Version {
        asset: id.clone(),
        draft: draft("one.txt"),
        replaces: Some(Revision::new(replaces)),
    };
    let theirs = Destination::Version {
        asset: id.clone(),
        draft: draft("one.txt"),
        replaces: None,
    };
    // Somebody adds one while ours is being sent.
    let session = bed.endpoint.begin(&onto("1"), 4, &mark()).await.unwrap();
    let chunk = Chunk::new(0, Bytes::from_static(b"ours"));
    session.append(chunk).await.unwrap();
    bed.upload(&theirs, b"theirs").await.unwrap();
    let error = session.commit(&digests(b"ours")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.message().contains("changed it since it was placed"));
    let error = bed
        .endpoint
        .begin(&onto("1"), 4, &mark())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    bed.upload(&onto("2"), b"ours").await.unwrap();
    let versions = bed.endpoint.versions(&id).await.unwrap();
    let versions: Vec<_> = versions
        .iter()
        .map(|version| (version.revision.as_str(), version.size))
        .collect();
    assert_eq!(versions, [("3", 4), ("2", 6), ("1", 1)]);
}
