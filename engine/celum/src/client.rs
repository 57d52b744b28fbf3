//! The Content API, call by call: typed requests and answers, nothing of flows or assets' lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;
use windlass_core::{Error, HeldBack, Kind, Result, Secret};
use windlass_http::{
    Answer, Authorizer, Body, Call, Client, ClientOptions, Governor, LaneOptions, Priority, Repeat,
    Reply, Request, Response, StaticHeader, Transport, Whole,
};

use crate::body::Parts;
use crate::errors::{CelumJudge, Refusal, perhaps_made, undecodable};
use crate::options::{CelumOptions, Credential};
use crate::profile::UploadAuth;
use crate::wire;

/// The largest page that the API gives.
pub(crate) const PAGE_SIZE: usize = 200;

/// A page of 200 assets with all their fields stays well below this.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// 200,000 collections under one parent: more is a mistake of the tenant, or an answer without end.
const COLLECTION_PAGES_MAX: usize = 1000;

/// How long the bytes of an upload may stand still: the source they come from may have been asked to
/// wait, and single waits of 300 s have been seen.
const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// How many calls and how many transfers are under way at once before anything is known of a tenant: what
/// careful callers use, since nothing public states a limit.
const START: (usize, usize) = (4, 2);

/// The typed calls of one tenant.
///
/// Four lanes, so that none waits for what another one holds for hours: an upload that waits for bytes of a
/// download of the same tenant must not hold the place which that download needs. All share the account's
/// pauses and its rate.
#[derive(Debug)]
pub(crate) struct Api {
    root: Url,
    authorizer: Arc<dyn Authorizer>,
    upload_auth: UploadAuth,
    /// Calls that may be repeated.
    client: Client,
    /// Calls that make something new each time.
    creating: Client,
    uploads: Client,
    downloads: Client,
}

/// What a call brought.
pub(crate) enum Got<T> {
    Value(T),
    Refused(Refusal),
}

impl<T> Got<T> {
    /// The value, or `None` for what is absent or hidden; other refusals are errors.
    pub(crate) fn or_absent(self, doing: &str) -> Result<Option<T>> {
        match self {
            Got::Value(value) => Ok(Some(value)),
            Got::Refused(refusal) if refusal.is_absent() => Ok(None),
            Got::Refused(refusal) => Err(refusal.into_error(doing, |_| None)),
        }
    }

    /// The value; every refusal is an error.
    pub(crate) fn or_refused(self, doing: &str) -> Result<T> {
        match self {
            Got::Value(value) => Ok(value),
            Got::Refused(refusal) => Err(refusal.into_error(doing, |_| None)),
        }
    }
}

impl Api {
    pub(crate) fn new(transport: Arc<dyn Transport>, options: &CelumOptions) -> Result<Self> {
        let authorizer: Arc<dyn Authorizer> = match &options.credential {
            Credential::ApiKey(key) => {
                let value = match &options.profile.api_key_prefix {
                    None => key.clone(),
                    Some(prefix) => Secret::new(format!("{prefix} {}", key.expose())),
                };
                Arc::new(StaticHeader::new(
                    HeaderName::from_static("x-api-key"),
                    &value,
                )?)
            }
            Credential::Basic { user, password } => Arc::new(StaticHeader::basic(user, password)?),
        };
        let governor = Governor::default();
        let lane = |max: usize, start: usize| LaneOptions {
            start,
            ..LaneOptions::new(max)
        };
        let calls = lane(options.profile.api_calls, START.0);
        let transfers = LaneOptions {
            priority: Priority::Bulk,
            ..lane(options.profile.transfers, START.1)
        };
        let make = |judge: CelumJudge| {
            let options = ClientOptions {
                tries: options.tries,
                jitter: options.jitter.clone(),
                governor: Some(governor.clone()),
                ..ClientOptions::new(&options.name, options.api_root.clone())
            };
            let (network, authorizer) = (Arc::clone(&transport), Arc::clone(&authorizer));
            Client::new(network, Arc::new(judge), authorizer, options)
        };
        let client = make(CelumJudge::Repeatable);
        let mut root = options.api_root.clone();
        // Joining replaces the last segment unless the path ends with a slash.
        if !root.path().ends_with('/') {
            root.set_path(&format!("{}/", root.path()));
        }
        Ok(Api {
            root,
            upload_auth: options.profile.upload_auth,
            creating: make(CelumJudge::Creating).lane_with(&calls),
            uploads: client.lane_with(&transfers),
            downloads: client.lane_with(&transfers),
            client: client.lane_with(&calls),
            authorizer,
        })
    }

    /// Why requests are held back, where they are: the tenant asked to wait, its rate, or that as many as it
    /// bears are under way and more wait for their turn.
    pub(crate) fn held_back(&self) -> Option<HeldBack> {
        if let Some(why) = self.client.why_waiting() {
            let left = self.client.paused_for();
            return Some(HeldBack {
                why,
                left: (!left.is_zero()).then_some(left),
            });
        }
        let waiting = self.client.governor().snapshot().waiting.total();
        let lanes = [
            (&self.uploads, "uploads"),
            (&self.downloads, "downloads"),
            (&self.creating, "creations"),
            (&self.client, "calls"),
        ];
        let mut full = lanes
            .iter()
            .filter(|(lane, _)| waiting > 0 && lane.in_flight() >= lane.width());
        full.next().map(|(lane, what)| HeldBack {
            why: format!(
                "{} has {} {what} under way, and {waiting} calls wait for their turn",
                lane.name(),
                lane.in_flight()
            ),
            left: None,
        })
    }

    pub(crate) async fn version(&self) -> Result<Got<wire::VersionInfo>> {
        self.get("version", "version", &[]).await
    }

    pub(crate) async fn me(&self) -> Result<Got<wire::User>> {
        self.get("users/me", "users/me", &[]).await
    }

    pub(crate) async fn asset_types(&self) -> Result<Vec<wire::AssetType>> {
        self.get("asset-types", "asset-types", &[])
            .await?
            .or_refused("listing the asset types")
    }

    pub(crate) async fn asset_type(&self, id: i64) -> Result<wire::AssetType> {
        let path = format!("asset-types/{id}");
        self.get("asset-types/{id}", &path, &[])
            .await?
            .or_refused("reading an asset type")
    }

    pub(crate) async fn collection_types(&self) -> Result<Vec<wire::CollectionType>> {
        self.get("collection-types", "collection-types", &[])
            .await?
            .or_refused("listing the collection types")
    }

    pub(crate) async fn download_formats(&self) -> Result<Vec<wire::DownloadFormat>> {
        self.get("download-formats", "download-formats", &[])
            .await?
            .or_refused("listing the download formats")
    }

    /// All collections below a parent, or the roots; with everything below where `recursive`.
    pub(crate) async fn collections(
        &self,
        parent: Option<i64>,
        recursive: bool,
    ) -> Result<Vec<wire::Collection>> {
        let mut all = Vec::new();
        for page in 1..=COLLECTION_PAGES_MAX {
            let mut query = vec![("page", page.to_string()), ("size", PAGE_SIZE.to_string())];
            // Pages shift when data changes; a stable order keeps the damage to what changed.
            query.push(("sort", "id,ASC".to_owned()));
            if let Some(parent) = parent {
                query.push(("parentId", parent.to_string()));
            }
            if recursive {
                query.push(("recursive", "true".to_owned()));
            }
            let got: wire::Page<wire::Collection> = self
                .get("collections", "collections", &query)
                .await?
                .or_refused("listing collections")?;
            // A page without content is the end, whatever it says of further ones.
            let ended = !got.has_next || got.content.is_empty();
            all.extend(got.content);
            if ended {
                return Ok(all);
            }
        }
        Err(Error::new(
            Kind::Unsupported,
            format!(
                "more than {} collections are in one place",
                COLLECTION_PAGES_MAX * PAGE_SIZE
            ),
        )
        .with_hint("name a collection further down"))
    }

    pub(crate) async fn create_collection(
        &self,
        parent: i64,
        locale: &str,
        name: &str,
    ) -> Result<Got<wire::Collection>> {
        let body = json!({ "name": { locale: name }, "parentId": parent });
        let request = self.json(Method::POST, "collections", &body)?;
        self.create("POST collections", request).await
    }

    /// One asset with all its field values.
    pub(crate) async fn asset(&self, id: i64) -> Result<Option<wire::Asset>> {
        let query = [("inclusions", "informationFields".to_owned())];
        self.get("assets/{id}", &format!("assets/{id}"), &query)
            .await?
            .or_absent("reading an asset")
    }

    /// The assets directly in a collection, newest first; one page, with their field values.
    pub(crate) async fn newest_in(&self, collection: i64) -> Result<Vec<wire::Asset>> {
        let query = [
            ("parentId", collection.to_string()),
            ("sort", "id,DESC".to_owned()),
            ("size", PAGE_SIZE.to_string()),
            ("inclusions", "informationFields".to_owned()),
        ];
        let page: wire::Page<wire::Asset> = self
            .get("assets", "assets", &query)
            .await?
            .or_refused("listing the assets of a collection")?;
        Ok(page.content)
    }

    pub(crate) async fn upload_ticket(
        &self,
        filename: &str,
        filesize: u64,
    ) -> Result<Got<wire::UploadTicket>> {
        let body = json!({ "filename": filename, "filesize": filesize });
        let request = self.json(Method::POST, "upload", &body)?;
        // A ticket that nobody uses has no effect and expires, so asking twice is harmless.
        let call = Call {
            route: "POST upload",
            request,
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        let whole = self.client.call_whole(call, ANSWER_BYTES_MAX).await?;
        let given = match &whole {
            Whole::Success(reply) => date(&reply.headers),
            Whole::Refused(_) => None,
        };
        let mut got: Got<wire::UploadTicket> = decode("POST upload", whole)?;
        if let Got::Value(ticket) = &mut got {
            ticket.given = given;
        }
        Ok(got)
    }

    pub(crate) async fn create_asset(&self, body: &CreateAsset<'_>) -> Result<Got<wire::Asset>> {
        let request = self.json(Method::POST, "assets", body)?;
        self.create("POST assets", request).await
    }

    pub(crate) async fn add_version(
        &self,
        asset: i64,
        filename: &str,
        handle: &str,
    ) -> Result<Got<wire::Version>> {
        let body = json!({ "filename": filename, "uploadHandle": handle });
        let request = self.json(Method::POST, &format!("assets/{asset}/versions"), &body)?;
        self.create("POST assets/{id}/versions", request).await
    }

    /// Changes one concern of an asset. Every change says what is to be, so repeating it is harmless. What
    /// the answer describes is not looked at: nothing confirms that it describes anything.
    pub(crate) async fn patch_asset(
        &self,
        asset: i64,
        body: &serde_json::Value,
    ) -> Result<Got<()>> {
        let call = Call {
            route: "PATCH assets/{id}",
            request: self.json(Method::PATCH, &format!("assets/{asset}"), body)?,
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        Ok(
            match self.client.call_whole(call, ANSWER_BYTES_MAX).await? {
                Whole::Success(_) => Got::Value(()),
                Whole::Refused(reply) => Got::Refused(Refusal::of(&reply)),
            },
        )
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Option<()>> {
        let request = self.request(Method::DELETE, path, &[])?;
        let call = Call {
            route: "DELETE",
            request,
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        match self.client.call_whole(call, ANSWER_BYTES_MAX).await? {
            Whole::Success(_) => Ok(Some(())),
            Whole::Refused(reply) => Got::Refused(Refusal::of(&reply)).or_absent("deleting"),
        }
    }

    /// A page of the versions of an asset; `None` where the asset or its versions are absent or hidden.
    pub(crate) async fn versions_page(
        &self,
        asset: i64,
        page: usize,
    ) -> Result<Option<wire::Page<wire::Version>>> {
        let query = [("page", page.to_string()), ("size", PAGE_SIZE.to_string())];
        let path = format!("assets/{asset}/versions");
        self.get("assets/{id}/versions", &path, &query)
            .await?
            .or_absent("listing the versions of an asset")
    }

    /// The first versions of an asset and whether there are more; `None` where the asset or its
    /// versions are absent or hidden.
    pub(crate) async fn versions(&self, asset: i64) -> Result<Option<wire::Page<wire::Version>>> {
        self.versions_page(asset, 1).await
    }

    pub(crate) async fn download_url(
        &self,
        asset: i64,
        format: i64,
        version: Option<&str>,
    ) -> Result<Option<Url>> {
        let got = self.download_link(asset, format, version).await?;
        let got = got.or_absent("asking for a download URL")?;
        Ok(got.map(|download| download.url))
    }

    /// The same with the refusal as it came.
    pub(crate) async fn download_link(
        &self,
        asset: i64,
        format: i64,
        version: Option<&str>,
    ) -> Result<Got<wire::Download>> {
        let mut query = vec![("downloadFormatId", format.to_string())];
        if let Some(version) = version {
            query.push(("versionId", version.to_owned()));
        }
        let path = format!("assets/{asset}/download");
        self.get("assets/{id}/download", &path, &query).await
    }

    /// Starts reading a download URL; `range` is asked for where given.
    pub(crate) async fn download(
        &self,
        url: Url,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Result<Response, Reply>> {
        let mut request = Request::new(Method::GET, url);
        let identity = HeaderValue::from_static("identity");
        request
            .headers
            .insert(http::header::ACCEPT_ENCODING, identity);
        if let Some(range) = range {
            let value = format!("bytes={}-{}", range.start, range.end - 1);
            let value = HeaderValue::try_from(value)
                .map_err(|error| unusable("a range").with_source(error))?;
            request.headers.insert(http::header::RANGE, value);
        }
        // Self-authorising: credentials go along only if it is our own origin.
        let call = Call {
            route: "download",
            request,
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        Ok(match self.downloads.call(call).await? {
            Answer::Success(response) => Ok(response),
            Answer::Refused {
                status,
                headers,
                body,
                request_id,
            } => Err(Reply {
                status,
                headers,
                body,
                request_id,
            }),
        })
    }

    /// Sends a content to an upload URL. Nobody sees it before an asset is made of its handle, so a
    /// lost answer is only a failure.
    pub(crate) async fn upload(&self, url: Url, parts: Parts) -> Result<Got<()>> {
        let mut request = Request::new(parts.method, url);
        request.body = parts.body;
        // The service may work on a large file for a while before it answers.
        request.answer_timeout = Duration::from_secs(600);
        request.idle_timeout = UPLOAD_IDLE_MAX;
        if self.upload_auth == UploadAuth::ApiKey {
            self.authorizer.authorize(&mut request.headers).await?;
        }
        let value = HeaderValue::from_str(&parts.content_type)
            .map_err(|error| unusable("a content type").with_source(error))?;
        request.headers.insert(CONTENT_TYPE, value);
        let call = Call {
            route: "upload URL",
            request,
            repeat: Repeat::OnlyIfUnsent,
            authorize: true,
        };
        match self.uploads.call_whole(call, ANSWER_BYTES_MAX).await {
            Ok(Whole::Success(_)) => Ok(Got::Value(())),
            Ok(Whole::Refused(reply)) => Ok(Got::Refused(Refusal::of(&reply))),
            Err(error) if error.kind() == Kind::Ambiguous => {
                Err(Error::new(Kind::Unavailable, "the upload broke off").with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        route: &'static str,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Got<T>> {
        let request = self.request(Method::GET, path, query)?;
        self.send(route, request).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        route: &'static str,
        request: Request,
    ) -> Result<Got<T>> {
        let call = Call {
            route,
            request,
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        decode(route, self.client.call_whole(call, ANSWER_BYTES_MAX).await?)
    }

    /// Sends what makes something new each time it is sent.
    ///
    /// Errors: `Ambiguous` whenever it may have been made all the same, so that somebody looks.
    async fn create<T: DeserializeOwned>(
        &self,
        route: &'static str,
        request: Request,
    ) -> Result<Got<T>> {
        let call = Call {
            route,
            request,
            repeat: Repeat::OnlyIfUnsent,
            authorize: true,
        };
        let answered = self.creating.call_whole(call, ANSWER_BYTES_MAX).await;
        let decoded = answered.and_then(|whole| decode(route, whole));
        decoded.map_err(perhaps_made)
    }

    pub(crate) fn json<T: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &str,
        body: &T,
    ) -> Result<Request> {
        let mut request = self.request(method, path, &[])?;
        let bytes = serde_json::to_vec(body)
            .map_err(|error| unusable("a request body").with_source(error))?;
        request.body = Body::Bytes(Bytes::from(bytes));
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(CONTENT_TYPE, json);
        Ok(request)
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> Result<Request> {
        let mut url = self
            .root
            .join(path)
            .map_err(|error| unusable("the API root").with_source(error))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::new(method, url);
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(http::header::ACCEPT, json);
        Ok(request)
    }
}

/// The body of `POST /assets`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateAsset<'a> {
    pub(crate) name: &'a str,
    pub(crate) parent_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) type_id: Option<i64>,
    pub(crate) upload_handle: &'a str,
    pub(crate) information_field_values: &'a [wire::FieldEntry],
}

fn decode<T: DeserializeOwned>(route: &'static str, whole: Whole) -> Result<Got<T>> {
    match whole {
        Whole::Success(reply) => {
            let value = serde_json::from_slice(&reply.body);
            Ok(Got::Value(
                value.map_err(|error| undecodable(route, error))?,
            ))
        }
        Whole::Refused(reply) => Ok(Got::Refused(Refusal::of(&reply))),
    }
}

/// When an answer was given, by the clock of who gave it.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text.trim()).ok()
}

/// The status with which a download URL says that it is used up.
pub(crate) fn is_stale_link(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 404 | 410)
}

fn unusable(what: &str) -> Error {
    Error::new(
        Kind::Unexpected,
        format!("{what} cannot be put on the wire"),
    )
}
