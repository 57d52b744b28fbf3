//! A tenant that answers by route as it was told, and the tests by subject.

mod account;
mod budget;
mod collections;
mod conditional;
mod drafts;
mod emulated;
mod find;
mod flight;
mod holdings;
mod losses;
mod metadata;
mod model;
mod profile;
mod renditions;
mod source;
mod upload;
mod usage;
mod versions;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use windlass_core::{
    Assigned, Blake3, ContentHash, Correlation, Destination, Digests, Draft, Secret, Stamp,
    Value as FieldValue,
};
use windlass_http::{Body, Request, Response, SendError, Transport};

use crate::{
    Algorithm, CelumEndpoint, CelumOptions, CelumProfile, Checksum, ChecksumRule, Encoding,
};

const ROOT: &str = "https://dam.example/content-api/v1";

/// What the tenant does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// The request arrived, and its answer did not.
    Lost,
    /// A body of zeros that breaks off after so many bytes.
    Broken(usize),
}

pub(crate) fn ok(body: Value) -> Act {
    refusal(200, body)
}

pub(crate) fn refusal(status: u16, body: Value) -> Act {
    Act::Answer {
        status,
        headers: Vec::new(),
        body: body.to_string().into(),
    }
}

pub(crate) fn bytes(status: u16, body: &[u8]) -> Act {
    Act::Answer {
        status,
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body),
    }
}

/// One request as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `POST assets`, or with the whole URL where it is not the API.
    pub(crate) route: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers by route. The acts of a route are played in order, and the last one again and again.
#[derive(Default)]
pub(crate) struct Tenant {
    acts: Mutex<BTreeMap<String, VecDeque<Act>>>,
    seen: Mutex<Vec<Seen>>,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tenant")
    }
}

impl Tenant {
    /// A tenant with one strict root, one asset type and one keyword tree.
    pub(crate) fn new() -> Arc<Self> {
        let tenant = Arc::new(Tenant::default());
        tenant
            .on(
                "GET users/me",
                [ok(json!({"id": ME, "username": "windlass"}))],
            )
            .on(
                "GET asset-types",
                [ok(json!([{"id": 12, "name": "packshot"}]))],
            )
            .on("GET asset-types/12", [ok(asset_type())])
            .on(
                "GET collection-types",
                [ok(
                    json!([{"id": 1, "permissionDefining": true}, {"id": 2, "tagCloud": true}]),
                )],
            )
            .on(
                "GET collections",
                [ok(page(vec![collection(4711, None, "Brand")]))],
            )
            .on(
                "GET collections?parentId=9000",
                [ok(page(vec![
                    collection(9001, Some(9000), "Spring"),
                    collection(9002, Some(9000), "Summer"),
                    collection(9003, Some(9002), "Beach"),
                    collection(9004, Some(9001), "Beach"),
                ]))],
            )
            .on(
                "POST upload",
                [ok(
                    json!({"url": "https://up.example/9f", "handle": "h-5c1e"}),
                )],
            )
            .on("POST https://up.example/9f", [bytes(200, b"")]);
        tenant
    }

    /// Sets the acts of a route. Where `?key=value` follows, requests with exactly that in their query
    /// are meant, before those of the bare route.
    pub(crate) fn on(&self, route: &str, acts: impl IntoIterator<Item = Act>) -> &Self {
        let acts: VecDeque<Act> = acts.into_iter().collect();
        self.acts.lock().unwrap().insert(route.to_owned(), acts);
        self
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests that went to this route.
    pub(crate) fn sent(&self, route: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.route == route);
        seen
    }

    /// The routes of everything that is not a read.
    pub(crate) fn writes(&self) -> Vec<String> {
        let seen = self.seen().into_iter();
        seen.map(|seen| seen.route)
            .filter(|route| !route.starts_with("GET ") && route != "POST assets/search")
            .collect()
    }

    fn act(&self, route: &str, query: &str) -> Act {
        let mut acts = self.acts.lock().unwrap();
        let special = acts.keys().find(|key| {
            key.split_once('?')
                .is_some_and(|(of, wanted)| of == route && query.split('&').any(|q| q == wanted))
        });
        let key = special.cloned().unwrap_or_else(|| route.to_owned());
        let queue = acts
            .get_mut(&key)
            .unwrap_or_else(|| panic!("nobody said what {route}?{query} does"));
        match queue.len() {
            0 => panic!("{route} has no act"),
            1 => queue[0].clone(),
            _ => queue.pop_front().unwrap(),
        }
    }
}

#[async_trait]
impl Transport for Tenant {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let body = match request.body {
            Body::Bytes(bytes) => bytes,
            Body::Pieces(pieces) => pieces.join(),
            Body::Empty => Bytes::new(),
            Body::Stream { length, mut stream } => {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    let piece = piece.map_err(|error| SendError::answered(error.to_string()))?;
                    all.extend_from_slice(&piece);
                }
                assert_eq!(all.len() as u64, length, "the length was announced");
                all.into()
            }
        };
        let query = request.url.query().unwrap_or_default().to_owned();
        let mut plain = request.url.clone();
        plain.set_query(None);
        let place = plain.as_str();
        let place = place
            .strip_prefix(ROOT)
            .map_or(place, |path| path.trim_start_matches('/'));
        let route = format!("{} {place}", request.method);
        let act = self.act(&route, &query);
        self.seen.lock().unwrap().push(Seen {
            route,
            query,
            headers: request.headers,
            body,
        });
        match act {
            Act::Lost => Err(SendError::answered("connection reset")),
            Act::Broken(after) => Ok(Response {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: stream::iter([
                    Ok(Bytes::from(vec![0; after])),
                    Err(SendError::answered("connection reset")),
                ])
                .boxed(),
            }),
            Act::Answer {
                status,
                headers,
                body,
            } => Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: headers
                    .into_iter()
                    .map(|(name, value)| {
                        let value = HeaderValue::from_str(&value).unwrap();
                        (HeaderName::from_static(name), value)
                    })
                    .collect(),
                body: stream::iter([Ok(body)]).boxed(),
            }),
        }
    }
}

/// The id of the user that the tests act as.
pub(crate) const ME: i64 = 31;

pub(crate) fn page(content: Vec<Value>) -> Value {
    json!({"totalElements": content.len(), "hasNext": false, "content": content})
}

pub(crate) fn collection(id: i64, parent: Option<i64>, name: &str) -> Value {
    json!({
        "id": id, "typeId": 1, "parentId": parent, "name": {"en": name}, "hasChildren": false,
        "creation": {"date": "2026-01-01T00:00:00Z"}, "validationLevel": "STRICT",
    })
}

/// One field of every type that drafts meet.
pub(crate) fn asset_type() -> Value {
    let field = |id: i64, name: &str, kind: &str, more: Value| {
        let mut field = json!({"id": id, "name": name, "type": kind, "labels": {}});
        for (key, value) in more.as_object().unwrap() {
            field[key] = value.clone();
        }
        field
    };
    let options = json!({"en": [{"index": 0, "label": "Print"}, {"index": 1, "label": "Online"}],
        "de": [{"index": 0, "label": "Druck"}]});
    json!({
        "id": 12, "name": "packshot", "labels": {"en": "Pack shot"},
        "informationFieldSets": [
            {"id": 1, "name": "main", "informationFields": [
                field(643, "sku", "TEXT", json!({"required": true, "maxLength": 8, "validationPattern": "SKU-\\d+"})),
                field(644, "mark", "TEXT", json!({})),
                field(650, "title", "LOCALIZED_TEXT", json!({})),
                field(651, "pages", "NUMBER", json!({})),
                field(655, "channel", "DROPDOWN", json!({"options": options})),
                field(660, "themes", "COLLECTION_REFERENCE", json!({"rootId": 9000, "maxSelections": 2})),
                field(665, "keywords", "TAG_REFERENCE", json!({"rootId": 9000, "createNewOnTheFly": true})),
                field(661, "shot", "DATE", json!({"required": null})),
                field(670, "licensed", "BOOLEAN", json!({})),
                field(690, "hologram", "HOLOGRAM", json!({})),
            ]},
            {"id": 2, "name": "rights", "dependsOnFieldId": 670, "informationFields": [
                field(671, "licence", "TEXT", json!({"required": true})),
            ]},
        ],
    })
}

/// An asset as the tenant describes it.
pub(crate) fn asset(id: i64, version: i64, name: &str, content: &[u8]) -> Value {
    json!({
        "id": id, "name": name, "typeId": 12, "releaseStatus": "RELEASED",
        "creation": {"date": "2026-03-01T08:30:00Z", "userId": ME},
        "validationLevel": "STRICT",
        "currentVersion": {
            "id": version, "active": true, "filename": name, "filesize": content.len(),
            "fileChecksum": MD5.of(content), "fileCategory": "IMAGE", "previewState": "PROCESSING",
            "creation": {"date": 1_772_354_400_000_i64, "userId": ME},
        },
        "parentIds": [4711],
        "parentPaths": [{"collectionTypeId": 1, "pathSegments":
            [{"collectionId": 4711, "collectionName": {"de": "Marke", "en": "Brand"}}]}],
    })
}

/// The same with field values, as reads of one asset have them.
pub(crate) fn with_values(mut asset: Value, values: &[(i64, &str, Value)]) -> Value {
    let values: Vec<Value> = values
        .iter()
        .map(|(id, kind, value)| json!({"type": kind, "field": {"id": id, "name": "x", "type": kind}, "value": value}))
        .collect();
    asset["informationFieldValueSets"] = json!([{"id": 1, "informationFieldValues": values}]);
    asset
}

pub(crate) const MD5: Checksum = Checksum {
    algorithm: Algorithm::Md5,
    encoding: Encoding::HexLower,
};

/// A profile that knows its checksum and whose lists show everything at once.
pub(crate) fn profile() -> CelumProfile {
    CelumProfile {
        checksum: ChecksumRule::Known(MD5),
        index_lag: 0,
        locales: vec!["en".to_owned(), "de".to_owned()],
        ..CelumProfile::default()
    }
}

pub(crate) fn marked() -> CelumProfile {
    CelumProfile {
        correlation_field: Some("mark".to_owned()),
        ..profile()
    }
}

/// The tenant as the network.
pub(crate) fn network(tenant: &Arc<Tenant>) -> Arc<dyn Transport> {
    Arc::<Tenant>::clone(tenant)
}

pub(crate) async fn connect(tenant: &Arc<Tenant>, profile: CelumProfile) -> Arc<CelumEndpoint> {
    connect_with(tenant, profile, BTreeSet::new()).await
}

/// The same with values that people accepted as new entries.
pub(crate) async fn connect_with(
    tenant: &Arc<Tenant>,
    profile: CelumProfile,
    accepted: BTreeSet<(String, String)>,
) -> Arc<CelumEndpoint> {
    let key = Secret::new("key-1".to_owned());
    let options = CelumOptions {
        accepted,
        // Waits between tries would only make tests slow.
        tries: 1,
        ..CelumOptions::new("dam", ROOT.parse().unwrap(), key, profile)
    };
    CelumEndpoint::connect(network(tenant), options)
        .await
        .unwrap()
}

pub(crate) fn draft() -> Draft {
    Draft {
        name: "Hall 7".to_owned(),
        file_name: "hall-7.tif".to_owned(),
        collection: windlass_core::AssetPath::new("/Brand"),
        asset_type: Some("packshot".to_owned()),
        fields: vec![assigned("sku", FieldValue::Text("SKU-1".to_owned()))],
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

pub(crate) fn assigned(field: &str, value: FieldValue) -> Assigned {
    Assigned {
        field: field.to_owned(),
        value,
        rule: "test".to_owned(),
    }
}

pub(crate) fn new_asset() -> Destination {
    Destination::New { draft: draft() }
}

pub(crate) fn mark() -> Correlation {
    Correlation::derive("ingest", "studio", "id:1", "rev-1")
}

pub(crate) fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: Blake3::of(bytes),
        content_hash: Some(ContentHash::of(bytes)),
    }
}

/// What an asset of ours carries that was made of these bytes.
pub(crate) fn stamp(bytes: &[u8], draft: &Draft) -> String {
    let stamp = Stamp::new(&mark(), &digests(bytes), draft);
    stamp.unwrap().to_string()
}
