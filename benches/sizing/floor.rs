//! The floor of an upload over TLS: what reading, both digests and sending cost with nothing around them.
//!
//! One file goes up by one concurrent upload session, or a folder's small files go up by `append_batch`, and that is
//! all: no plan, no ledger, no budget, no order, no retry. Bytes are hashed as often as the protocol asks for it.
//! `run.py` measures this process and `windlass run` against the same sandbox in the same run, and compares them.
//!
//! Arguments: file or folder, content base URL, CA file, access token, target path, MiB of a part or entries of a
//! batch, parts or batches in flight.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::Url;
use windlass_core::digest::{BLOCK_BYTES, BlockHasher};
use windlass_core::{Blake3, ContentHash};
use windlass_http::{Body, Pieces, Request, ReqwestTransport, Transport, TransportOptions};

/// The most files that one call commits.
const COMMITS_MAX: usize = 1_000;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What all requests share.
struct Wire {
    transport: ReqwestTransport,
    content: Url,
    api: Url,
    authorization: HeaderValue,
}

impl Wire {
    /// A call that carries contents.
    async fn post(&self, route: &str, arg: Value, body: Body) -> Outcome<Value> {
        let arg = HeaderValue::try_from(arg.to_string())?;
        self.send(
            &self.content,
            route,
            "application/octet-stream",
            Some(arg),
            body,
        )
        .await
    }

    /// A call that carries none.
    async fn ask(&self, route: &str, arg: Value) -> Outcome<Value> {
        let body = Body::Bytes(arg.to_string().into());
        self.send(&self.api, route, "application/json", None, body)
            .await
    }

    async fn send(
        &self,
        host: &Url,
        route: &str,
        content_type: &'static str,
        arg: Option<HeaderValue>,
        body: Body,
    ) -> Outcome<Value> {
        let url = host.join(&format!("/2/files/{route}"))?;
        let mut request = Request::new(Method::POST, url);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.extend(arg.map(|arg| (HeaderName::from_static("dropbox-api-arg"), arg)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        request.headers = headers;
        request.body = body;
        let response = self.transport.send(request).await?;
        let status = response.status;
        let text = response.collect(1 << 20).await?;
        if !status.is_success() {
            return Err(format!("{route}: {status}: {}", String::from_utf8_lossy(&text)).into());
        }
        Ok(serde_json::from_slice(&text)?)
    }
}

/// One part: read, both digests, send.
async fn part(
    wire: Arc<Wire>,
    file: Arc<File>,
    session: Arc<str>,
    offset: u64,
    length: usize,
    last: bool,
) -> Outcome<()> {
    let (bytes, hash) = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)?;
        let tree = blake3::Hasher::new().update(&bytes).finalize();
        std::hint::black_box(tree);
        let hash = ContentHash::of(&bytes);
        Ok::<_, std::io::Error>((Bytes::from(bytes), hash))
    })
    .await??;
    let arg = json!({
        "cursor": { "session_id": &*session, "offset": offset },
        "close": last,
        "content_hash": hash.to_string(),
    });
    wire.post("upload_session/append_v2", arg, Body::Bytes(bytes))
        .await?;
    Ok(())
}

/// The small files of one batch: read, both digests of each, the batch's own hash, send. Their sizes.
async fn batch(wire: Arc<Wire>, files: Vec<PathBuf>, sessions: Vec<Value>) -> Outcome<Vec<u64>> {
    let (contents, hash) = tokio::task::spawn_blocking(move || {
        let mut contents = Vec::with_capacity(files.len());
        let mut hasher = BlockHasher::default();
        for file in files {
            let bytes = Bytes::from(std::fs::read(file)?);
            std::hint::black_box((Blake3::of(&bytes), ContentHash::of(&bytes)));
            hasher.update(bytes.clone());
            contents.push(bytes);
        }
        let hash = ContentHash::from_blocks(hasher.finish());
        Ok::<_, std::io::Error>((contents, hash))
    })
    .await??;
    let sizes: Vec<u64> = contents.iter().map(|bytes| bytes.len() as u64).collect();
    let entries = sessions.iter().zip(&sizes).map(|(session, size)| {
        json!({ "cursor": { "session_id": session, "offset": 0 }, "length": size, "close": true })
    });
    let arg = json!({ "entries": entries.collect::<Vec<_>>(), "content_hash": hash.to_string() });
    let body = Body::Pieces(Pieces::new(contents));
    let sent = wire.post("upload_session/append_batch", arg, body).await?;
    all_succeeded(&sent)?;
    Ok(sizes)
}

/// Fails with the first entry that did.
fn all_succeeded(answer: &Value) -> Outcome<()> {
    let entries = answer["entries"].as_array().map_or(&[][..], Vec::as_slice);
    match entries.iter().find(|entry| entry[".tag"] != "success") {
        None if !entries.is_empty() => Ok(()),
        failed => Err(format!("an entry failed: {failed:?}").into()),
    }
}

/// All files below a folder, in batches; a thousand are committed as soon as they are there.
async fn upload_folder(
    wire: Arc<Wire>,
    folder: &Path,
    target: &str,
    entries: usize,
    in_flight: usize,
) -> Outcome<()> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    let counts = (0..files.len()).step_by(COMMITS_MAX);
    let starts = counts.map(|from| {
        let count = COMMITS_MAX.min(files.len() - from);
        wire.ask(
            "upload_session/start_batch",
            json!({ "num_sessions": count }),
        )
    });
    let mut sessions = Vec::new();
    for started in try_join_all(starts).await? {
        let ids = started["session_ids"].as_array().cloned();
        sessions.extend(ids.unwrap_or_default());
    }
    let mut under_way = FuturesUnordered::new();
    let mut left = files.chunks(entries).zip(sessions.chunks(entries));
    let mut ready = Vec::new();
    let mut commit = None;
    loop {
        while under_way.len() < in_flight
            && let Some((files, sessions)) = left.next()
        {
            let sent = batch(Arc::clone(&wire), files.to_vec(), sessions.to_vec());
            let names: Vec<_> = files
                .iter()
                .map(|file| {
                    file.strip_prefix(folder)
                        .map(|name| name.display().to_string())
                })
                .collect::<Result<_, _>>()?;
            let sessions = sessions.to_vec();
            let sent = tokio::spawn(sent);
            under_way.push(async move {
                let sizes = sent.await??;
                let all = names.into_iter().zip(sessions).zip(sizes);
                Ok::<_, Box<dyn Error + Send + Sync>>(all.collect::<Vec<_>>())
            });
        }
        // One commit at a time, as a namespace wants it.
        let last = under_way.is_empty();
        if commit.is_none() && (ready.len() >= COMMITS_MAX || last && !ready.is_empty()) {
            let now: Vec<_> = ready.drain(..ready.len().min(COMMITS_MAX)).collect();
            let entries: Vec<_> = now
                .into_iter()
                .map(|((name, session), size)| {
                    json!({
                        "cursor": { "session_id": session, "offset": size },
                        "commit": { "path": format!("{target}/{name}"), "mode": "add", "mute": true },
                    })
                })
                .collect();
            let wire = Arc::clone(&wire);
            commit = Some(tokio::spawn(async move {
                let arg = json!({ "entries": entries });
                all_succeeded(&wire.ask("upload_session/finish_batch_v2", arg).await?)
            }));
        }
        tokio::select! {
            Some(sent) = under_way.next() => ready.extend(sent?),
            Some(done) = async { Some(commit.as_mut()?.await) } => {
                done??;
                commit = None;
            }
            else => return Ok(()),
        }
    }
}

async fn upload(arguments: &[String]) -> Outcome<()> {
    let [file, content, ca, token, target, unit, in_flight] = arguments else {
        return Err("seven arguments are needed: see the first lines of this file".into());
    };
    let in_flight = in_flight.parse::<usize>()?;
    let wire = Arc::new(Wire {
        transport: ReqwestTransport::new(TransportOptions {
            extra_root_ca_pem: Some(std::fs::read(ca)?),
            ..TransportOptions::default()
        })?,
        content: Url::parse(content)?,
        api: Url::parse(&content.replace("://content.", "://api."))?,
        authorization: HeaderValue::try_from(format!("Bearer {token}"))?,
    });
    if Path::new(file).is_dir() {
        return upload_folder(wire, Path::new(file), target, unit.parse()?, in_flight).await;
    }
    let part_bytes = unit.parse::<usize>()? << 20;
    let file = Arc::new(File::open(file)?);
    let size = file.metadata()?.len();
    let start = json!({ "session_type": "concurrent" });
    let started = wire
        .post("upload_session/start", start, Body::Bytes(Bytes::new()))
        .await?;
    let session: Arc<str> = started["session_id"].as_str().unwrap_or_default().into();
    let send = |offset: u64, last: bool| {
        let length = part_bytes.min(usize::try_from(size - offset).unwrap_or(usize::MAX));
        part(
            Arc::clone(&wire),
            Arc::clone(&file),
            Arc::clone(&session),
            offset,
            length,
            last,
        )
    };
    let parts = size.div_ceil(part_bytes as u64).max(1);
    let mut under_way = FuturesUnordered::new();
    // The part that closes the session goes last, when all others are there.
    for index in 0..parts - 1 {
        if under_way.len() == in_flight {
            under_way.next().await.transpose()?;
        }
        under_way.push(tokio::spawn(send(index * part_bytes as u64, false)).map_join());
    }
    while let Some(sent) = under_way.next().await {
        sent?;
    }
    send((parts - 1) * part_bytes as u64, true).await?;
    let arg = json!({
        "cursor": { "session_id": &*session, "offset": size },
        "commit": { "path": target, "mode": "overwrite", "mute": true },
    });
    let placed = wire
        .post("upload_session/finish", arg, Body::Bytes(Bytes::new()))
        .await?;
    if placed["size"].as_u64() != Some(size) {
        return Err(format!("the service reports {placed}").into());
    }
    Ok(())
}

/// A task whose failure to join is a failure like any other.
trait MapJoin {
    fn map_join(self) -> impl Future<Output = Outcome<()>>;
}

impl MapJoin for tokio::task::JoinHandle<Outcome<()>> {
    async fn map_join(self) -> Outcome<()> {
        self.await?
    }
}

fn main() -> Outcome<()> {
    const {
        assert!(
            BLOCK_BYTES == 4 << 20,
            "parts are whole MiB, and blocks 4 of them"
        )
    };
    std::hint::black_box(Blake3::of(b""));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(upload(&arguments))
}
