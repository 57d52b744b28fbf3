//! The floor of a large upload over TLS: what reading, both digests and sending cost with nothing around them.
//!
//! One file goes up by one concurrent upload session, and that is all: no plan, no ledger, no budget, no order,
//! no retry. Each block is hashed once. `run.py` measures the CPU time of this process and of
//! `windlass run` against the same sandbox in the same run, and compares them per gigabyte.
//!
//! Arguments: file, content base URL, CA file, access token, target path, part MiB, parts in flight.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::Url;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{Blake3, ContentHash};
use windlass_http::{Body, Request, ReqwestTransport, Transport, TransportOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What all requests share.
struct Wire {
    transport: ReqwestTransport,
    content: Url,
    authorization: HeaderValue,
}

impl Wire {
    async fn post(&self, route: &str, arg: Value, body: Bytes) -> Outcome<Value> {
        let mut request = Request::new(
            Method::POST,
            self.content.join(&format!("/2/files/{route}"))?,
        );
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert("Dropbox-API-Arg", HeaderValue::try_from(arg.to_string())?);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        request.headers = headers;
        request.body = Body::Bytes(body);
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
    wire.post("upload_session/append_v2", arg, bytes).await?;
    Ok(())
}

async fn upload(arguments: &[String]) -> Outcome<()> {
    let [file, content, ca, token, target, part_mib, in_flight] = arguments else {
        return Err("seven arguments are needed: see the first lines of this file".into());
    };
    let part_bytes = part_mib.parse::<usize>()? << 20;
    let in_flight = in_flight.parse::<usize>()?;
    let wire = Arc::new(Wire {
        transport: ReqwestTransport::new(TransportOptions {
            extra_root_ca_pem: Some(std::fs::read(ca)?),
            ..TransportOptions::default()
        })?,
        content: Url::parse(content)?,
        authorization: HeaderValue::try_from(format!("Bearer {token}"))?,
    });
    let file = Arc::new(File::open(file)?);
    let size = file.metadata()?.len();
    let start = json!({ "session_type": "concurrent" });
    let started = wire
        .post("upload_session/start", start, Bytes::new())
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
        .post("upload_session/finish", arg, Bytes::new())
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
