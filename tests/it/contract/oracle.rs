//! The official Dropbox crate as an oracle: it decodes what the sandbox answers, and its own routes work
//! against the sandbox unchanged.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use dropbox_sdk::async_client_trait::{
    HttpClient, HttpRequest, HttpRequestResultRaw, UserAuthClient,
};
use dropbox_sdk::async_routes::files;
use dropbox_sdk::types::files as types;
use dropbox_sdk::{Error, types::auth};
use futures_util::AsyncReadExt;
use futures_util::io::Cursor;
use serde_json::Value;
use tower::ServiceExt;
use windlass_core::ContentHash;
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions};

use super::fixture::Fixtures;
use super::pattern::Bindings;

/// The crate's transport, with the sandbox called in process instead of the network.
struct InProcess {
    dropbox: Arc<Dropbox>,
    token: Arc<String>,
}

struct SdkRequest(axum::http::request::Builder, String);

impl HttpRequest for SdkRequest {
    fn set_header(self, name: &str, value: &str) -> Self {
        SdkRequest(self.0.header(name, value), self.1)
    }
}

impl HttpClient for InProcess {
    type Request = SdkRequest;

    fn new_request(&self, url: &str) -> SdkRequest {
        let url = url::Url::parse(url).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let path = &url[url::Position::BeforePath..];
        SdkRequest(axum::http::Request::post(path), host)
    }

    async fn execute(
        &self,
        request: SdkRequest,
        body: Bytes,
    ) -> Result<HttpRequestResultRaw, Error> {
        let router = match request.1.as_str() {
            "api.dropboxapi.com" => self.dropbox.router_api(),
            "content.dropboxapi.com" => self.dropbox.router_content(),
            "notify.dropboxapi.com" => self.dropbox.router_notify(),
            other => panic!("{other} is no host of Dropbox"),
        };
        let request = request.0.body(Body::from(body)).unwrap();
        let (head, body) = router.oneshot(request).await.unwrap().into_parts();
        let header = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
        let body = to_bytes(body, 64 << 20).await.unwrap();
        Ok(HttpRequestResultRaw {
            status: head.status.as_u16(),
            result_header: header("dropbox-api-result"),
            content_length: header("content-length").map(|length| length.parse().unwrap()),
            body: Box::new(Cursor::new(body)),
        })
    }

    fn token(&self) -> Option<Arc<String>> {
        Some(Arc::clone(&self.token))
    }
}

impl UserAuthClient for InProcess {}

fn account() -> InProcess {
    let dropbox = Dropbox::open(DropboxOptions {
        seed: 9,
        page_entries: 3,
        ..DropboxOptions::default()
    })
    .unwrap();
    let token = Arc::new(dropbox.access_token().expose().to_owned());
    InProcess { dropbox, token }
}

#[tokio::test]
async fn the_official_crate_lists_the_sandbox_page_by_page() {
    let client = account();
    for n in 0..8 {
        client
            .dropbox
            .put_file(
                &format!("/Campaign/{n}.txt"),
                Bytes::from(vec![b'A'; n]),
                None,
            )
            .unwrap();
    }
    let arg = types::ListFolderArg::new("/Campaign".to_owned()).with_recursive(true);
    let mut page = files::list_folder(&client, &arg).await.unwrap();
    let mut names = Vec::new();
    let mut pages = 1;
    loop {
        for entry in page.entries {
            if let types::Metadata::File(file) = entry {
                let size = usize::try_from(file.size).unwrap();
                let hash = ContentHash::of(&vec![b'A'; size]).to_hex();
                assert_eq!(file.content_hash, Some(hash));
                assert_eq!(
                    file.path_display.as_deref(),
                    Some(format!("/Campaign/{}", file.name).as_str())
                );
                names.push(file.name);
            }
        }
        if !page.has_more {
            break;
        }
        let arg = types::ListFolderContinueArg::new(page.cursor);
        page = files::list_folder_continue(&client, &arg).await.unwrap();
        pages += 1;
    }
    names.sort();
    assert_eq!(
        names,
        (0..8).map(|n| format!("{n}.txt")).collect::<Vec<_>>()
    );
    assert!(pages > 2, "{pages} pages");
}

#[tokio::test]
async fn the_official_crate_uploads_by_session_and_reads_back_a_range() {
    let client = account();
    let start = types::UploadSessionStartArg::default();
    let started = files::upload_session_start(&client, &start, Bytes::new()).await;
    let session = started.unwrap().session_id;
    let append = |offset, text: &'static str| {
        let cursor = types::UploadSessionCursor::new(session.clone(), offset);
        let arg = types::UploadSessionAppendArg::new(cursor);
        let client = &client;
        async move {
            files::upload_session_append_v2(client, &arg, Bytes::from_static(text.as_bytes())).await
        }
    };
    append(0, "hello ").await.unwrap();
    match append(0, "hello ").await {
        Err(Error::Api(types::UploadSessionAppendError::IncorrectOffset(error))) => {
            assert_eq!(error.correct_offset, 6);
        }
        other => panic!("{other:?}"),
    }
    append(6, "world").await.unwrap();
    let cursor = types::UploadSessionCursor::new(session.clone(), 11);
    let commit = types::CommitInfo::new("/Été/hello.txt".to_owned()).with_mute(true);
    let arg = types::UploadSessionFinishArg::new(cursor, commit);
    let file = files::upload_session_finish(&client, &arg, Bytes::new())
        .await
        .unwrap();
    assert_eq!(
        file.content_hash,
        Some(ContentHash::of(b"hello world").to_hex())
    );

    let arg = types::DownloadArg::new(format!("rev:{}", file.rev));
    let answer = files::download(&client, &arg, Some(6), Some(11))
        .await
        .unwrap();
    assert_eq!(
        answer.result.path_display.as_deref(),
        Some("/Été/hello.txt")
    );
    let mut text = String::new();
    answer
        .body
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    assert_eq!(text, "world");
}

#[tokio::test]
async fn the_official_crate_understands_refusals() {
    let client = account();
    let missing = types::GetMetadataArg::new("/nothing".to_owned());
    match files::get_metadata(&client, &missing).await {
        Err(Error::Api(types::GetMetadataError::Path(types::LookupError::NotFound))) => {}
        other => panic!("{other:?}"),
    }
    client
        .dropbox
        .put_file("/a.txt", Bytes::from_static(b"first"), None)
        .unwrap();
    let arg = types::UploadArg::new("/a.txt".to_owned());
    match files::upload(&client, &arg, Bytes::from_static(b"second")).await {
        Err(Error::Api(types::UploadError::Path(failed))) => {
            let file = types::WriteError::Conflict(types::WriteConflictError::File);
            assert_eq!(failed.reason, file);
            assert!(failed.upload_session_id.starts_with("pid_upload_session:"));
        }
        other => panic!("{other:?}"),
    }
    client.dropbox.unlink().unwrap();
    match files::get_metadata(&client, &missing).await {
        Err(Error::Authentication(auth::AuthError::InvalidAccessToken)) => {}
        other => panic!("{other:?}"),
    }
}

/// Says why a text is not JSON of some type.
type Decode = fn(&str) -> Result<(), String>;

/// Decodes a value as the crate's type.
fn decode<T: serde::de::DeserializeOwned>(text: &str) -> Result<(), String> {
    serde_json::from_str::<T>(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// The crate's type for what a file of fixtures is about: of results, then of the route's errors.
fn decoders(group: &str) -> Option<[Decode; 2]> {
    Some(match group {
        "list_folder" => [
            decode::<types::ListFolderResult>,
            decode::<types::ListFolderError>,
        ],
        "list_folder_continue" => [
            decode::<types::ListFolderResult>,
            decode::<types::ListFolderContinueError>,
        ],
        "get_metadata" => [decode::<types::Metadata>, decode::<types::GetMetadataError>],
        "upload" => [decode::<types::FileMetadata>, decode::<types::UploadError>],
        "upload_session_start" => [
            decode::<types::UploadSessionStartResult>,
            decode::<types::UploadSessionStartError>,
        ],
        "upload_session_append" => [decode::<()>, decode::<types::UploadSessionAppendError>],
        "upload_session_finish" => [
            decode::<types::FileMetadata>,
            decode::<types::UploadSessionFinishError>,
        ],
        "delete" => [decode::<types::DeleteResult>, decode::<types::DeleteError>],
        "list_revisions" => [
            decode::<types::ListRevisionsResult>,
            decode::<types::ListRevisionsError>,
        ],
        "create_folder" => [
            decode::<types::CreateFolderResult>,
            decode::<types::CreateFolderError>,
        ],
        "download" => [decode::<Value>, decode::<types::DownloadError>],
        _ => return None,
    })
}

/// The fixtures themselves are what the vendor's own types describe.
#[test]
fn the_official_crate_decodes_every_fixture() {
    let bindings = Bindings::default();
    let mut decoded = 0;
    for fixture in Fixtures::read("dropbox").all() {
        let Some([result, error]) = decoders(fixture.group()) else {
            continue;
        };
        let status = fixture.response.status;
        let body = fixture.response.body.bytes(&bindings);
        let Ok(value) = serde_json::from_slice::<Value>(&body) else {
            continue;
        };
        // The crate knows no kinds of entries but its own, and wants `.tag` first.
        let ours_alone = ["list_folder/unknown_entry", "list_folder/any_member_order"];
        if ours_alone.contains(&fixture.name.as_str()) {
            continue;
        }
        let read = match status {
            200 => result(&value.to_string()),
            409 => error(&value["error"].to_string()),
            _ => continue,
        };
        read.unwrap_or_else(|why| panic!("{}: {why}: {value}", fixture.name));
        decoded += 1;
    }
    assert!(decoded > 40, "only {decoded}");
}
