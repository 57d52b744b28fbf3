//! The routes in use, typed: an argument goes in, a result or the route's own error comes out.
//!
//! Calls travel in lanes: uploads, downloads, lookups; listings have one of width one because Dropbox throttles
//! identical listings made at once, and everything that takes a folder's write lock has its own, so that a lock
//! never stops a download. Credentials, pauses and retries are the HTTP client's.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use windlass_core::{Error, HeldBack, Kind, Result};
use windlass_http::{
    Answer, Authorizer, Body, Call, Client, ClientOptions, LaneOptions, OAuth2Options,
    OAuth2Refresh, Priority, Repeat, Reply, Request, Response, StaticHeader, Transport, Whole,
};

use crate::errors::{
    ContinueError, CreateFolderError, DeleteError, DownloadError, Explain, Failure,
    ListFolderError, LongpollError, NoError, PathError, PollError, PropertyGroupError,
    RelocationError, RestoreError, RevisionsError, SearchPropertiesError, TemplateRouteError,
};
use crate::judge::{DropboxJudge, call_error, route_error};
use crate::options::{Credential, DropboxOptions};
use crate::wire::{
    Account, CursorArg, DeleteArg, Echo, EchoArg, Ignored, JobArg, LatestCursor, Launched,
    ListFolderArg, ListFolderResult, LongpollArg, LongpollResult, Metadata, MetadataArg, PathArg,
    PathRootHeader, PropertiesArg, PropertyGroup, PropertyMatches, PropertyMode, PropertyQuery,
    Relocated, RelocationArg, RelocationBatchArg, RestoreArg, Revisions, RevisionsArg,
    SearchPropertiesArg, TagsArg, TagsResult, Template, TemplateFilter, TemplateId, TemplateIds,
    header_json,
};

mod sharing;
mod upload;

pub(crate) use upload::BatchFailure;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-dropbox-request-id");
const API_ARG: HeaderName = HeaderName::from_static("dropbox-api-arg");
const PATH_ROOT: HeaderName = HeaderName::from_static("dropbox-api-path-root");
const SELECT_USER: HeaderName = HeaderName::from_static("dropbox-api-select-user");

/// A page of 2,000 entries is about 1.2 MB; paths and sharing details can make one ten times larger.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The most entries a page is asked for, as documented.
const PAGE_ENTRIES: u32 = 2_000;

/// Large commits have taken minutes to answer.
const COMMIT_ANSWER: Duration = Duration::from_secs(300);

/// How much longer than asked a long poll may take: the service adds up to 90 s so that clients do not
/// return together.
const LONGPOLL_JITTER: Duration = Duration::from_secs(100);

/// One long poll for each watched scope; more scopes than this take turns.
const POLLS_MAX: usize = 64;

/// How many uploads are under way at once before anything is known of the path: what one large file keeps busy, below
/// any burst that was ever refused.
const UPLOADS_START: usize = 16;

/// The same for downloads. Fewer, because all share the path: where it is full at once, the first chunk of sixteen
/// arrives as late as the last, and whoever sends it on waits for it.
const DOWNLOADS_START: usize = 4;

/// The result of a route: its value, or why not.
pub(crate) type Routed<T, E> = std::result::Result<T, Failure<E>>;

/// One account's routes.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    name: String,
    api: Url,
    content: Url,
    notify: Url,
    lookups: Client,
    listings: Client,
    uploads: Client,
    downloads: Client,
    commits: Client,
    polls: Client,
    /// Headers of every call that has credentials.
    headers: HeaderMap,
}

/// Whether a team's monthly limit of data transport calls counts a route: everything that carries bytes to Dropbox, or
/// opens or finishes what does.
pub(crate) fn is_counted(route: &str) -> bool {
    route == "files/upload" || route.starts_with("files/upload_session/")
}

impl Api {
    /// Makes the clients. Sends nothing yet.
    pub(crate) fn new(transport: Arc<dyn Transport>, options: &DropboxOptions) -> Result<Self> {
        let http = ClientOptions {
            origins: vec![options.api_url.clone(), options.content_url.clone()],
            concurrency: options.lookups,
            tries: options.tries,
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            patience: options.patience,
            request_id_header: Some(REQUEST_ID),
            jitter: options.jitter.clone(),
            governor: options.governor.clone(),
            ..ClientOptions::new(&options.name, options.api_url.clone())
        };
        let authorizer = authorizer(Arc::clone(&transport), options, &http)?;
        let lookups = Client::new(transport, Arc::new(DropboxJudge), authorizer, http);
        let mut headers = HeaderMap::new();
        if let Some(member) = &options.select_user {
            let value = HeaderValue::from_str(member).map_err(|_| {
                Error::new(Kind::Config, "`select_user` is not a team member id")
                    .with_hint("it begins with dbmid:")
            })?;
            headers.insert(SELECT_USER, value);
        }
        let transfers = |start| {
            lookups.lane_with(&LaneOptions {
                start,
                priority: Priority::Bulk,
                ..LaneOptions::new(options.transfers)
            })
        };
        Ok(Api {
            name: options.name.clone(),
            api: options.api_url.clone(),
            content: options.content_url.clone(),
            notify: options.notify_url.clone(),
            polls: lookups.lane(POLLS_MAX),
            listings: lookups.lane(1),
            uploads: transfers(UPLOADS_START),
            downloads: transfers(DOWNLOADS_START),
            commits: lookups.lane(options.commits).at(Priority::Bulk),
            lookups: lookups.at(Priority::Interactive),
            headers,
        })
    }

    /// Makes all paths relative to this root from now on.
    pub(crate) fn set_root(&mut self, root: &PathRootHeader) -> Result<()> {
        let value = header_json(root).map_err(|error| {
            Error::new(Kind::Config, "the path root cannot be sent").with_source(error)
        })?;
        self.headers.insert(PATH_ROOT, value);
        Ok(())
    }

    /// How many requests are under way in all lanes. Zero at rest.
    pub(crate) fn in_flight(&self) -> usize {
        [
            &self.lookups,
            &self.listings,
            &self.uploads,
            &self.downloads,
            &self.commits,
        ]
        .iter()
        .map(|lane| lane.in_flight())
        .sum()
    }

    /// Why calls wait right now, if they do.
    pub(crate) fn held_back(&self) -> Option<HeldBack> {
        let whole = self.lookups.paused_for();
        let left = whole.max(self.commits.paused_for());
        if left.is_zero() {
            let mut transfers = [&self.uploads, &self.downloads].into_iter();
            let why = transfers.find_map(Client::why_waiting)?;
            return Some(HeldBack { why, left: None });
        }
        let seconds = left.as_secs_f64().ceil();
        let why = match whole.is_zero() {
            false => format!("Dropbox asked for {seconds} s more"),
            true => format!("others write to the same Dropbox folder, {seconds} s more"),
        };
        Some(HeldBack {
            why,
            left: Some(left),
        })
    }

    pub(crate) async fn check_user(&self) -> Routed<Echo, NoError> {
        let arg = EchoArg { query: "windlass" };
        self.rpc(&self.lookups, "check/user", &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn account(&self) -> Routed<Account, NoError> {
        // A route without an argument takes `null`.
        let route = "users/get_current_account";
        self.rpc(&self.lookups, route, &(), Repeat::Idempotent)
            .await
    }

    pub(crate) async fn list_folder(
        &self,
        path: &str,
    ) -> Routed<ListFolderResult, ListFolderError> {
        let route = "files/list_folder";
        self.rpc(&self.listings, route, &listing(path), Repeat::Idempotent)
            .await
    }

    /// The same, with the properties of some templates.
    pub(crate) async fn list_folder_with(
        &self,
        path: &str,
        templates: &[Arc<str>],
    ) -> Routed<ListFolderResult, ListFolderError> {
        let arg = ListFolderArg {
            include_property_groups: Some(TemplateFilter::FilterSome {
                filter_some: templates,
            }),
            ..listing(path)
        };
        let route = "files/list_folder";
        self.rpc(&self.listings, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn templates(&self) -> Routed<TemplateIds, TemplateRouteError> {
        let route = "file_properties/templates/list_for_user";
        self.rpc(&self.lookups, route, &(), Repeat::Idempotent)
            .await
    }

    pub(crate) async fn template(&self, id: &str) -> Routed<Template, TemplateRouteError> {
        let arg = TemplateId {
            template_id: id.to_owned(),
        };
        let route = "file_properties/templates/get_for_user";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn add_template(
        &self,
        template: &Template,
    ) -> Routed<TemplateId, TemplateRouteError> {
        // A second one of the same name does no harm: stamps of both are found.
        let route = "file_properties/templates/add_for_user";
        self.rpc(&self.lookups, route, template, Repeat::Idempotent)
            .await
    }

    /// What has this value of a field of one of these templates, wherever it is.
    pub(crate) async fn search_properties(
        &self,
        (field, value): (&str, &str),
        templates: &[Arc<str>],
    ) -> Routed<PropertyMatches, SearchPropertiesError> {
        let arg = SearchPropertiesArg {
            queries: [PropertyQuery {
                query: value,
                mode: PropertyMode::FieldName { field_name: field },
                logical_operator: "or_operator",
            }],
            template_filter: TemplateFilter::FilterSome {
                filter_some: templates,
            },
        };
        let route = "file_properties/properties/search";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    #[cfg(test)]
    pub(crate) async fn remove_template(&self, id: &str) -> Routed<Ignored, TemplateRouteError> {
        let arg = TemplateId {
            template_id: id.to_owned(),
        };
        let route = "file_properties/templates/remove_for_user";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn list_folder_continue(
        &self,
        cursor: &str,
    ) -> Routed<ListFolderResult, ContinueError> {
        let arg = CursorArg { cursor };
        let route = "files/list_folder/continue";
        self.rpc(&self.listings, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn latest_cursor(&self, path: &str) -> Routed<LatestCursor, ListFolderError> {
        let route = "files/list_folder/get_latest_cursor";
        self.rpc(&self.listings, route, &listing(path), Repeat::Idempotent)
            .await
    }

    /// Waits until something below the cursor may have changed, at most `timeout`.
    pub(crate) async fn longpoll(
        &self,
        cursor: &str,
        timeout: Duration,
    ) -> Routed<LongpollResult, LongpollError> {
        let route = "files/list_folder/longpoll";
        let arg = LongpollArg {
            cursor,
            timeout: timeout.as_secs(),
        };
        let mut request = rpc_request(&self.notify, route, &arg).map_err(Failure::Call)?;
        request.answer_timeout = timeout + LONGPOLL_JITTER;
        // The cursor says it all: with credentials the call is refused.
        let call = Call {
            route,
            request,
            repeat: Repeat::Idempotent,
            authorize: false,
        };
        self.answer(&self.polls, call).await
    }

    pub(crate) async fn metadata(&self, path: &str) -> Routed<Metadata, PathError> {
        let arg = PathArg { path };
        self.rpc(
            &self.lookups,
            "files/get_metadata",
            &arg,
            Repeat::Idempotent,
        )
        .await
    }

    /// The same, with the properties of one template.
    pub(crate) async fn metadata_with(
        &self,
        path: &str,
        template: &Arc<str>,
    ) -> Routed<Metadata, PathError> {
        let arg = MetadataArg {
            path,
            include_property_groups: TemplateFilter::FilterSome {
                filter_some: std::slice::from_ref(template),
            },
        };
        let route = "files/get_metadata";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    /// Makes a file's properties of one template these, and leaves those of others alone.
    pub(crate) async fn overwrite_properties(
        &self,
        path: &str,
        group: &PropertyGroup,
    ) -> Routed<Ignored, PropertyGroupError> {
        let arg = PropertiesArg {
            path,
            property_groups: [group],
        };
        let route = "file_properties/properties/overwrite";
        self.rpc(&self.commits, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn tags(&self, paths: Vec<&str>) -> Routed<TagsResult, PathError> {
        let arg = TagsArg { paths };
        self.rpc(&self.lookups, "files/tags/get", &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn create_folder(&self, path: &str) -> Routed<Ignored, CreateFolderError> {
        // A second try that finds the folder says so, and that is as good.
        let arg = PathArg { path };
        let route = "files/create_folder_v2";
        self.rpc(&self.commits, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn delete(
        &self,
        path: &str,
        parent_rev: Option<&str>,
    ) -> Routed<Ignored, DeleteError> {
        let arg = DeleteArg { path, parent_rev };
        self.rpc(&self.commits, "files/delete_v2", &arg, Repeat::Idempotent)
            .await
    }

    /// The two newest revisions of the file with this id.
    pub(crate) async fn revisions(&self, id: &str) -> Routed<Revisions, RevisionsError> {
        let arg = RevisionsArg {
            path: id,
            mode: "id",
            limit: 2,
        };
        let route = "files/list_revisions";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    pub(crate) async fn restore(&self, path: &str, rev: &str) -> Routed<Ignored, RestoreError> {
        let arg = RestoreArg { path, rev };
        self.rpc(&self.commits, "files/restore", &arg, Repeat::OnlyIfUnsent)
            .await
    }

    pub(crate) async fn relocate(
        &self,
        from: &str,
        to: &str,
    ) -> Routed<Relocated, RelocationError> {
        let arg = RelocationArg {
            from_path: from,
            to_path: to,
        };
        self.rpc(&self.commits, "files/move_v2", &arg, Repeat::OnlyIfUnsent)
            .await
    }

    /// Begins to copy files, at most 1,000; each has an answer of its own, in their order.
    pub(crate) async fn copy_batch(
        &self,
        lane: &Client,
        entries: &[RelocationArg<'_>],
    ) -> Routed<Launched, NoError> {
        let arg = RelocationBatchArg { entries };
        let route = "files/copy_batch_v2";
        self.rpc(lane, route, &arg, Repeat::OnlyIfUnsent).await
    }

    /// How far a batch of copies is.
    pub(crate) async fn copy_batch_check(&self, job: &str) -> Routed<Launched, PollError> {
        let arg = JobArg { async_job_id: job };
        let route = "files/copy_batch/check_v2";
        self.rpc(&self.lookups, route, &arg, Repeat::Idempotent)
            .await
    }

    /// Asks for the bytes of `range`, or for all of them. The answer still has to be compared with
    /// what was asked.
    pub(crate) async fn download(
        &self,
        path: &str,
        range: Option<&Range<u64>>,
    ) -> Routed<Response, DownloadError> {
        let route = "files/download";
        let mut request = self.content_request(route);
        request.headers.insert(
            API_ARG,
            api_arg(route, &PathArg { path }).map_err(Failure::Call)?,
        );
        request
            .headers
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = range {
            // The header names the last byte, we the one after it.
            let text = format!("bytes={}-{}", range.start, range.end - 1);
            if let Ok(value) = HeaderValue::from_str(&text) {
                request.headers.insert(RANGE, value);
            }
        }
        let call = Call {
            route,
            request,
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        match self.downloads.call(call).await.map_err(Failure::Call)? {
            Answer::Success(response) => Ok(response),
            Answer::Refused {
                status,
                headers,
                body,
                request_id,
            } => Err(self.refused(
                route,
                Reply {
                    status,
                    headers,
                    body,
                    request_id,
                },
            )),
        }
    }

    /// A call of the rpc style: JSON in, JSON out.
    async fn rpc<T: DeserializeOwned, E: Explain>(
        &self,
        lane: &Client,
        route: &'static str,
        arg: &(impl Serialize + Sync),
        repeat: Repeat,
    ) -> Routed<T, E> {
        let mut request = rpc_request(&self.api, route, arg).map_err(Failure::Call)?;
        request.headers.extend(self.headers.clone());
        self.whole(lane, route, request, repeat).await
    }

    /// A call of the upload style: the argument in a header, bytes in, JSON out.
    async fn content<T: DeserializeOwned, E: Explain>(
        &self,
        lane: &Client,
        route: &'static str,
        arg: &(impl Serialize + Sync),
        bytes: Bytes,
        repeat: Repeat,
    ) -> Routed<T, E> {
        let request = self.upload_request(route, arg, Body::Bytes(bytes));
        self.whole(lane, route, request.map_err(Failure::Call)?, repeat)
            .await
    }

    /// A request of the upload style.
    fn upload_request(
        &self,
        route: &'static str,
        arg: &impl Serialize,
        body: Body,
    ) -> Result<Request> {
        let mut request = self.content_request(route);
        request.headers.insert(API_ARG, api_arg(route, arg)?);
        request.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        request.body = body;
        request.answer_timeout = COMMIT_ANSWER;
        Ok(request)
    }

    async fn whole<T: DeserializeOwned, E: Explain>(
        &self,
        lane: &Client,
        route: &'static str,
        request: Request,
        repeat: Repeat,
    ) -> Routed<T, E> {
        let call = Call {
            route,
            request,
            repeat,
            authorize: true,
        };
        self.answer(lane, call).await
    }

    async fn answer<T: DeserializeOwned, E: Explain>(
        &self,
        lane: &Client,
        call: Call,
    ) -> Routed<T, E> {
        let route = call.route;
        let lane = lane.counted(is_counted(route));
        match lane.call_whole(call, ANSWER_BYTES_MAX).await {
            Ok(Whole::Success(reply)) => decode(route, &reply).map_err(Failure::Call),
            Ok(Whole::Refused(reply)) => Err(self.refused(route, reply)),
            Err(error) => Err(Failure::Call(error)),
        }
    }

    fn content_request(&self, route: &'static str) -> Request {
        let mut request = Request::new(Method::POST, route_url(&self.content, route));
        request.headers = self.headers.clone();
        request
    }

    fn refused<E: Explain>(&self, route: &'static str, reply: Reply) -> Failure<E> {
        match call_error(&self.name, route, &reply) {
            Some(error) => Failure::Call(error),
            None => {
                let (error, circumstances) = route_error(route, reply);
                Failure::Route(error, circumstances)
            }
        }
    }
}

fn listing(path: &str) -> ListFolderArg<'_> {
    ListFolderArg {
        path,
        recursive: true,
        limit: Some(PAGE_ENTRIES),
        include_property_groups: None,
    }
}

fn route_url(base: &Url, route: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/2/{route}", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// A request of the rpc style, without the account's headers.
fn rpc_request(base: &Url, route: &'static str, arg: &impl Serialize) -> Result<Request> {
    let mut request = Request::new(Method::POST, route_url(base, route));
    request
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = serde_json::to_vec(arg).map_err(|error| unsendable(route).with_source(error))?;
    request.body = Body::Bytes(body.into());
    Ok(request)
}

fn api_arg(route: &'static str, arg: &impl Serialize) -> Result<HeaderValue> {
    header_json(arg).map_err(|error| unsendable(route).with_source(error))
}

fn unsendable(route: &'static str) -> Error {
    Error::new(Kind::Unexpected, "the argument cannot be written as JSON")
        .with_context("route", route)
}

/// Reads a result. Routes without one answer `null`, and an empty body is taken for it.
fn decode<T: DeserializeOwned>(route: &'static str, reply: &Reply) -> Result<T> {
    let body: &[u8] = match reply.body.is_empty() {
        true => b"null",
        false => &reply.body,
    };
    serde_json::from_slice(body).map_err(|error| {
        let mut wrong = Error::new(Kind::Unexpected, "Dropbox's answer cannot be read")
            .with_context("route", route);
        if let Some(id) = &reply.request_id {
            wrong = wrong.with_context("request id", id);
        }
        wrong.with_source(error)
    })
}

fn authorizer(
    transport: Arc<dyn Transport>,
    options: &DropboxOptions,
    http: &ClientOptions,
) -> Result<Arc<dyn Authorizer>> {
    match &options.credential {
        Credential::AccessToken(token) if token.expose().is_empty() => Err(Error::new(
            Kind::Unauthenticated,
            format!("endpoint {} has an empty access token", options.name),
        )
        .with_hint("set the variable or file that its `access_token` names")),
        Credential::AccessToken(token) => Ok(Arc::new(StaticHeader::bearer(token)?)),
        Credential::Refresh {
            app_key,
            app_secret,
            refresh_token,
        } => {
            let mut token_url = options.api_url.clone();
            let path = format!("{}/oauth2/token", token_url.path().trim_end_matches('/'));
            token_url.set_path(&path);
            let grant = OAuth2Options {
                name: options.name.clone(),
                token_url,
                client_id: app_key.clone(),
                client_secret: app_secret.clone(),
                refresh_token: refresh_token.clone(),
                relogin_hint: format!(
                    "the app was unlinked from the account: authorise endpoint {} again",
                    options.name
                ),
            };
            Ok(Arc::new(OAuth2Refresh::new(grant, transport, http)))
        }
    }
}
