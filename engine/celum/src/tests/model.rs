//! A tenant that remembers: uploads become assets, lists lag, and one call of a kind goes wrong as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use windlass_http::{Body, Request, Response, SendError, Transport};

use super::{MD5, ME, ROOT, asset_type, collection, page};

/// How one call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing of it left.
    Unsent,
    /// It arrived nowhere.
    LostBefore,
    /// It was done, and the answer was lost.
    LostAfter,
    /// It is done so much later, and nobody answers.
    Late(Duration),
    /// A proxy answers in the tenant's place before it acts.
    ProxyBefore(u16),
    /// A proxy answers in the tenant's place although it acted.
    ProxyAfter(u16),
    /// As above, and it names a time to come back.
    ProxyMaintenance,
    /// The application itself is in maintenance.
    Maintenance,
    /// It was done, and a page comes as an answer.
    Page,
}

impl How {
    fn acts(self) -> bool {
        use How::{LostAfter, Page, ProxyAfter, ProxyMaintenance};
        matches!(self, LostAfter | ProxyAfter(_) | ProxyMaintenance | Page)
    }
}

/// One version of an asset.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) id: i64,
    pub(super) file_name: String,
    pub(super) bytes: Bytes,
    at: Instant,
    by: i64,
}

/// One asset.
#[derive(Clone, Debug)]
pub(super) struct Asset {
    pub(super) name: String,
    pub(super) values: BTreeMap<i64, Value>,
    pub(super) availability: Option<Value>,
    pub(super) versions: Vec<Version>,
    pub(super) current: i64,
    at: Instant,
}

/// What it holds and what was asked of it.
#[derive(Debug, Default)]
pub(super) struct State {
    assets: BTreeMap<i64, Asset>,
    /// What was uploaded, by handle; gone once something was made of it.
    uploads: BTreeMap<String, Option<Bytes>>,
    made: i64,
    calls: Vec<String>,
    faults: Vec<(String, How)>,
    under_way: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
}

/// A tenant that remembers.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) state: Mutex<State>,
    pub(super) since: Instant,
    /// How long lists and searches lag behind.
    pub(super) index_lag: Duration,
    /// Whether a new version becomes current by itself.
    pub(super) auto_activate: bool,
    /// How long a call takes.
    pub(super) latency: Duration,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            state: Mutex::default(),
            since: Instant::now(),
            index_lag: Duration::ZERO,
            auto_activate: true,
            latency: Duration::ZERO,
        }
    }
}

/// The network to a model; clones lead to the same one.
#[derive(Clone, Debug)]
pub(super) struct Line(pub(super) Arc<Model>);

impl Model {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next call of a kind goes wrong. Faults of one kind are played in order.
    pub(super) fn fail(&self, kind: &str, how: How) {
        self.state().faults.push((kind.to_owned(), how));
    }

    /// Faults that no call met.
    pub(super) fn faults_left(&self) -> usize {
        self.state().faults.len()
    }

    /// The kinds of all calls since the last time.
    pub(super) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// The most calls of a kind that were under way at once.
    pub(super) fn most(&self, kind: &str) -> usize {
        self.state().most.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn assets(&self) -> BTreeMap<i64, Asset> {
        self.state().assets.clone()
    }

    /// Puts an asset there that was made `ago`, with values by field id.
    pub(super) fn put(&self, file_name: &str, bytes: &'static [u8], ago: Duration) -> i64 {
        let at = self.since.checked_sub(ago).unwrap();
        let mut state = self.state();
        let id = state.next();
        let version = Version {
            id: 1,
            file_name: file_name.to_owned(),
            bytes: Bytes::from_static(bytes),
            at,
            by: ME,
        };
        let asset = Asset {
            name: file_name.to_owned(),
            values: BTreeMap::from([(643, json!("SKU-0"))]),
            availability: None,
            versions: vec![version],
            current: 1,
            at,
        };
        state.assets.insert(id, asset);
        id
    }

    fn date(&self, at: Instant) -> Timestamp {
        // Some day at noon; what was there before the model began is older.
        let noon = Timestamp::from_millisecond(1_790_000_000_000).unwrap();
        match at.checked_duration_since(self.since) {
            Some(later) => noon + later,
            None => noon - self.since.duration_since(at),
        }
    }

    fn act(&self, request: &Asked) -> Value {
        let path: Vec<&str> = request.path.split('/').collect();
        let id = |at: usize| path[at].parse::<i64>().unwrap();
        let method = request.method.as_str();
        match (method, path.as_slice()) {
            ("GET", ["users", "me"]) => json!({"id": ME, "username": "windlass"}),
            ("GET", ["asset-types"]) => json!([{"id": 12, "name": "packshot"}]),
            ("GET", ["asset-types", _]) => asset_type(),
            ("GET", ["collection-types"]) => json!([{"id": 1, "permissionDefining": true}]),
            ("GET", ["collections"]) => page(vec![collection(4711, None, "Brand")]),
            ("GET", ["download-formats"]) => json!([{"id": 1, "original": true}]),
            ("POST", ["upload"]) => {
                let mut state = self.state();
                let handle = format!("h-{}", state.next());
                state.uploads.insert(handle.clone(), None);
                json!({"url": format!("https://up.example/{handle}"), "handle": handle})
            }
            ("POST", ["assets"]) => self.create(&request.json()),
            ("GET", ["assets"]) => self.list(|_| true),
            ("POST", ["assets", "search"]) => self.search(&request.json()["filter"]),
            ("GET", ["assets", _]) => self.read(id(1)),
            ("PATCH", ["assets", _]) => self.patch(id(1), &request.json()),
            ("DELETE", ["assets", _]) => {
                self.state().assets.remove(&id(1));
                Value::Null
            }
            ("GET", ["assets", _, "versions"]) => self.versions(id(1)),
            ("POST", ["assets", _, "versions"]) => self.add_version(id(1), &request.json()),
            ("GET", ["assets", _, "download"]) => {
                let url = format!("https://down.example/{}?{}", path[1], request.query);
                json!({"url": url, "filename": "x"})
            }
            other => panic!("a model does not know {other:?}"),
        }
    }

    /// What was uploaded under a handle: once.
    fn uploaded(&self, body: &Value) -> Result<Bytes, Value> {
        let handle = body["uploadHandle"].as_str().unwrap();
        let used = json!({"code": "VALIDATION", "message": "no", "status": 400, "faults":
            [{"type": "ARGUMENT", "code": "H", "message": "unknown", "argument": "uploadHandle"}]});
        let bytes = self.state().uploads.remove(handle).flatten();
        bytes.ok_or(used)
    }

    fn create(&self, body: &Value) -> Value {
        let bytes = match self.uploaded(body) {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal,
        };
        let now = Instant::now();
        let values = body["informationFieldValues"].as_array().unwrap().iter();
        let id = {
            let mut state = self.state();
            let id = state.next();
            let version = Version {
                id: 1,
                file_name: "hall-7.tif".to_owned(),
                bytes,
                at: now,
                by: ME,
            };
            let asset = Asset {
                name: body["name"].as_str().unwrap().to_owned(),
                values: values
                    .map(|value| (value["id"].as_i64().unwrap(), value["value"].clone()))
                    .collect(),
                availability: None,
                versions: vec![version],
                current: 1,
                at: now,
            };
            state.assets.insert(id, asset);
            id
        };
        self.read(id)
    }

    fn add_version(&self, id: i64, body: &Value) -> Value {
        let bytes = match self.uploaded(body) {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal,
        };
        let mut state = self.state();
        let asset = state.assets.get_mut(&id).unwrap();
        let version = Version {
            id: asset.versions.last().unwrap().id + 1,
            file_name: body["filename"].as_str().unwrap().to_owned(),
            bytes,
            at: Instant::now(),
            by: ME,
        };
        if self.auto_activate {
            asset.current = version.id;
        }
        asset.versions.push(version.clone());
        drop(state);
        self.shown_version(&version)
    }

    fn patch(&self, id: i64, body: &Value) -> Value {
        let mut state = self.state();
        let Some(asset) = state.assets.get_mut(&id) else {
            return absent();
        };
        for (key, value) in body.as_object().unwrap() {
            match key.as_str() {
                "name" => asset.name = value.as_str().unwrap().to_owned(),
                "availability" => asset.availability = Some(value.clone()),
                "currentVersion" => asset.current = value.as_i64().unwrap(),
                "informationFieldValues" => {
                    for entry in value.as_array().unwrap() {
                        let field = entry["id"].as_i64().unwrap();
                        asset.values.insert(field, entry["value"]["value"].clone());
                    }
                }
                other => panic!("a model does not change {other}"),
            }
        }
        json!({"changed": id})
    }

    fn read(&self, id: i64) -> Value {
        let state = self.state();
        let asset = state.assets.get(&id).cloned();
        drop(state);
        asset.map_or_else(absent, |asset| self.shown(id, &asset))
    }

    fn versions(&self, id: i64) -> Value {
        let asset = self.state().assets.get(&id).cloned();
        match asset {
            None => absent(),
            Some(asset) => {
                let versions = asset.versions.iter();
                page(
                    versions
                        .map(|version| self.shown_version(version))
                        .collect(),
                )
            }
        }
    }

    /// What lists know by now, the newest first.
    fn list(&self, fits: impl Fn(&Asset) -> bool) -> Value {
        let assets = self.assets();
        let known = assets.iter().rev();
        let known = known.filter(|(_, asset)| asset.at.elapsed() >= self.index_lag && fits(asset));
        page(known.map(|(id, asset)| self.shown(*id, asset)).collect())
    }

    fn search(&self, filter: &Value) -> Value {
        let filters = match filter["filters"].as_array() {
            Some(filters) => filters.clone(),
            None => vec![filter.clone()],
        };
        let mut found = self.list(|asset| {
            let current = asset.version(asset.current);
            filters.iter().all(|filter| match filter["type"].as_str() {
                Some("ASSET_PARENT_ID") => filter["values"] == json!([4711]),
                Some("ASSET_CHECKSUM") => filter["values"][0] == json!(MD5.of(&current.bytes)),
                Some("ASSET_FILE_NAME") => filter["text"] == json!(current.file_name),
                Some("ASSET_TEXT_INFORMATION_FIELD") => {
                    let field = filter["informationFieldId"].as_i64().unwrap();
                    asset.values.get(&field) == Some(&filter["text"])
                }
                other => panic!("a model does not search by {other:?}"),
            })
        });
        for hit in found["content"].as_array_mut().unwrap() {
            hit["informationFieldValueSets"] = Value::Null;
        }
        found
    }

    fn shown(&self, id: i64, asset: &Asset) -> Value {
        let values: Vec<Value> = asset
            .values
            .iter()
            .map(|(field, value)| {
                json!({"type": "TEXT", "field": {"id": field, "name": "x", "type": "TEXT"}, "value": value})
            })
            .collect();
        json!({
            "id": id, "name": asset.name, "typeId": 12, "availability": asset.availability,
            "creation": {"date": self.date(asset.at).to_string(), "userId": ME},
            "currentVersion": self.shown_version(asset.version(asset.current)),
            "parentIds": [4711],
            "informationFieldValueSets": [{"id": 1, "informationFieldValues": values}],
        })
    }

    fn shown_version(&self, version: &Version) -> Value {
        json!({
            "id": version.id, "filename": version.file_name, "filesize": version.bytes.len(),
            "fileChecksum": MD5.of(&version.bytes), "fileCategory": "IMAGE",
            "creation": {"date": self.date(version.at).to_string(), "userId": version.by},
        })
    }

    /// The bytes behind a download URL.
    fn original(&self, request: &Asked) -> Bytes {
        let id: i64 = request.path.parse().unwrap();
        let mut parts = request.query.split('&');
        let version = parts.find_map(|part| part.strip_prefix("versionId="));
        let assets = self.assets();
        let version = version.unwrap().parse().unwrap();
        assets[&id].version(version).bytes.clone()
    }
}

impl Asset {
    pub(super) fn version(&self, id: i64) -> &Version {
        let mut versions = self.versions.iter();
        versions.find(|version| version.id == id).unwrap()
    }
}

impl State {
    fn next(&mut self) -> i64 {
        self.made += 1;
        50 + self.made
    }

    /// How this call goes wrong, if it does. A call that comes into being counts from here on.
    fn begin(&mut self, kind: &str) -> Option<How> {
        self.calls.push(kind.to_owned());
        let under_way = self.under_way.entry(kind.to_owned()).or_default();
        *under_way += 1;
        let most = self.most.entry(kind.to_owned()).or_default();
        *most = (*most).max(*under_way);
        let at = self.faults.iter().position(|(of, _)| of == kind)?;
        Some(self.faults.remove(at).1)
    }
}

fn absent() -> Value {
    json!({"code": "ENTITY", "message": "no", "entity": "Asset", "status": 403})
}

/// A request, all of it.
struct Asked {
    kind: String,
    method: Method,
    host: String,
    path: String,
    query: String,
    body: Bytes,
}

impl Asked {
    async fn of(request: Request) -> Result<Self, SendError> {
        let body = match request.body {
            Body::Bytes(bytes) => bytes,
            Body::Pieces(pieces) => pieces.join(),
            Body::Empty => Bytes::new(),
            Body::Stream { mut stream, .. } => {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    let piece = piece.map_err(|error| SendError::answered(error.to_string()))?;
                    all.extend_from_slice(&piece);
                }
                all.into()
            }
        };
        Ok(Asked {
            kind: kind(&request.method, &request.url),
            method: request.method,
            host: request.url.host_str().unwrap().to_owned(),
            path: path(&request.url),
            query: request.url.query().unwrap_or_default().to_owned(),
            body,
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn path(url: &url::Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    let path = plain.as_str().strip_prefix(ROOT).map(str::to_owned);
    let path = path.unwrap_or_else(|| plain.path().to_owned());
    path.trim_start_matches('/').to_owned()
}

/// `POST assets/{id}/versions`.
fn kind(method: &Method, url: &url::Url) -> String {
    let place = match url.host_str() {
        Some("up.example") => "an upload URL".to_owned(),
        Some("down.example") => "a download URL".to_owned(),
        _ => {
            let path = path(url);
            let segments = path.split('/').map(|segment| match segment.parse::<i64>() {
                Ok(_) => "{id}",
                Err(_) => segment,
            });
            segments.collect::<Vec<_>>().join("/")
        }
    };
    format!("{method} {place}")
}

/// A call under way, until it is dropped.
struct UnderWay<'a>(&'a Model, String);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.state().under_way.get_mut(&self.1).unwrap() -= 1;
    }
}

#[async_trait]
impl Transport for Line {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let model = &self.0;
        let kind = kind(&request.method, &request.url);
        let how = model.state().begin(&kind);
        let _under_way = UnderWay(model, kind);
        if how == Some(How::Unsent) {
            return Err(SendError::unsent("no route"));
        }
        let asked = Asked::of(request).await?;
        tokio::time::sleep(model.latency).await;
        match how {
            None => Ok(self.answer(&asked)),
            Some(How::Late(after)) => {
                let line = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    drop(line.answer(&asked));
                });
                Err(SendError::answered("no answer"))
            }
            Some(how) => {
                if how.acts() {
                    drop(self.answer(&asked));
                }
                wrong(how, model)
            }
        }
    }
}

impl Line {
    fn answer(&self, asked: &Asked) -> Response {
        let model = &self.0;
        match asked.host.as_str() {
            "down.example" => response(model, 200, model.original(asked)),
            "up.example" => {
                let bytes = asked.body.clone();
                let mut state = model.state();
                *state.uploads.get_mut(&asked.path).unwrap() = Some(bytes);
                drop(state);
                response(model, 200, Bytes::new())
            }
            _ => {
                let said = model.act(asked);
                let status = said["status"]
                    .as_u64()
                    .map_or(200, |s| u16::try_from(s).unwrap());
                assert!(asked.kind.len() > 4, "every call has a kind");
                response(model, status, said.to_string().into())
            }
        }
    }
}

fn response(model: &Model, status: u16, body: Bytes) -> Response {
    let mut headers = HeaderMap::new();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&model.date(Instant::now()))
        .unwrap();
    headers.insert(header::DATE, HeaderValue::from_str(&date).unwrap());
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: stream::iter([Ok(body)]).boxed(),
    }
}

/// What the client gets to see of a call that went wrong.
fn wrong(how: How, model: &Model) -> Result<Response, SendError> {
    let html = || Bytes::from_static(b"<html>Something is wrong</html>");
    let waiting = |mut response: Response| {
        let seconds = HeaderValue::from_static("2");
        response.headers.insert(header::RETRY_AFTER, seconds);
        response
    };
    match how {
        How::ProxyBefore(status) | How::ProxyAfter(status) => Ok(response(model, status, html())),
        How::Page => Ok(response(model, 200, html())),
        How::ProxyMaintenance => Ok(waiting(response(model, 503, html()))),
        How::Maintenance => {
            let own = json!({"code": "MAINTENANCE", "message": "Back soon"});
            Ok(waiting(response(model, 503, own.to_string().into())))
        }
        How::Unsent | How::LostBefore | How::LostAfter | How::Late(_) => {
            Err(SendError::answered("connection reset"))
        }
    }
}
