//! Uploads against the emulated service, over sockets: what it enforces, and what survives its bad days.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use url::Url;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{Chunk, Evidence, Expected, Placed, Result, Secret, Sink};
use windlass_http::{Jitter, Proxy, ReqwestTransport, TransportOptions};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account, LockModel};

use super::express::{at, digests, mark};
use super::sessions::resume;
use crate::{Credential, DropboxEndpoint, DropboxOptions, PathRoot};

/// How often a flow tries what may pass.
const TRIES: u32 = 8;

/// Serves an account and connects to it.
pub(super) async fn serve(account: Account) -> (Arc<Dropbox>, Arc<DropboxEndpoint>) {
    let (service, options) = listen(account).await;
    let endpoint = connect(options).await;
    (service, endpoint)
}

/// Serves an account; how to connect to it.
pub(super) async fn listen(account: Account) -> (Arc<Dropbox>, DropboxOptions) {
    let service = Dropbox::open(account).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let router = service.router_all();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let options = DropboxOptions {
        api_url: url.clone(),
        content_url: url.clone(),
        notify_url: url,
        path_root: PathRoot::Home,
        jitter: Jitter::seeded(3),
        ..DropboxOptions::new(
            "studio",
            Credential::AccessToken(Secret::new(service.access_token().expose())),
        )
    };
    (service, options)
}

pub(super) async fn connect(options: DropboxOptions) -> Arc<DropboxEndpoint> {
    let network = ReqwestTransport::new(TransportOptions {
        proxy: Proxy::Direct,
        ..TransportOptions::default()
    });
    let endpoint = DropboxEndpoint::connect(Arc::new(network.unwrap()), options).await;
    endpoint.unwrap()
}

/// Places one file as a flow does: after a failure that may pass it looks, then tries again.
pub(super) async fn place(dropbox: &DropboxEndpoint, path: &str, bytes: &Bytes) -> Result<Placed> {
    let of = digests(bytes);
    let destination = at(path);
    let mut tries = TRIES;
    loop {
        let once = async {
            let session = dropbox.begin(&destination, of.size, &mark()).await?;
            let starts = (0..bytes.len()).step_by(BLOCK_BYTES);
            let sent = starts.map(|start| {
                let end = bytes.len().min(start + BLOCK_BYTES);
                session.append(Chunk::new(start as u64, bytes.slice(start..end)))
            });
            join_all(sent).await.into_iter().collect::<Result<()>>()?;
            session.commit(&of).await
        };
        tries -= 1;
        match Box::pin(once).await {
            Err(error) if error.status() != windlass_core::Status::Permanent && tries > 0 => {}
            ended => return ended,
        }
        let (mark, expected) = (mark(), Expected::from(&of));
        let found = dropbox.find(&destination, &mark, &expected).await?;
        if let Some(placed) = found {
            return Ok(placed);
        }
    }
}

/// Three hundred small files and two large ones, all at once; each must be there once, as itself.
async fn all_are_placed(account: Account) -> Arc<Dropbox> {
    let (service, dropbox) = serve(account).await;
    let small = (0..300).map(|n| {
        (
            format!("/Out/{n}.txt"),
            Bytes::from(format!("file {n} ").repeat(n)),
        )
    });
    let large = (0..2u8).map(|n| {
        let bytes = vec![n + 1; 3 * BLOCK_BYTES + usize::from(n)];
        (format!("/Out/large {n}.mov"), Bytes::from(bytes))
    });
    let files: Vec<_> = small.chain(large).collect();
    let placed = join_all(
        files
            .iter()
            .map(|(path, bytes)| place(&dropbox, path, bytes)),
    );
    for ((path, bytes), placed) in files.iter().zip(placed.await) {
        let placed = placed.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        assert_eq!(placed.evidence, Evidence::E2, "{path}");
        assert_eq!(placed.content_hash, digests(bytes).content_hash, "{path}");
    }
    let there = service
        .tree()
        .into_iter()
        .filter(|entry| entry.file.is_some());
    assert_eq!(there.count(), files.len());
    assert_eq!(
        (dropbox.in_flight(), dropbox.waiting_to_be_packed()),
        (0, 0)
    );
    service
}

#[tokio::test]
async fn small_and_large_files_together_cost_few_calls() {
    let service = all_are_placed(Account::default()).await;
    assert_eq!(service.calls("files/upload"), 0);
    assert_eq!(service.calls("files/get_metadata"), 0);
    let batches = service.calls("files/upload_session/append_batch");
    assert!((1..=4).contains(&batches), "{batches}");
    let finishes = service.calls("files/upload_session/finish_batch_v2");
    assert!((1..=4).contains(&finishes), "{finishes}");
}

#[tokio::test]
async fn every_file_is_placed_once_while_answers_are_lost() {
    let faults = "route=files/upload_session/*,every=4,do=reset-after;\
                  route=files/upload_session/*,every=5,do=reset-before";
    let service = all_are_placed(Account {
        faults: faults.parse().unwrap(),
        ..Account::default()
    });
    let fired: u64 = service.await.faults_fired().iter().sum();
    assert!(fired > 3, "the network was too good: {fired}");
}

#[tokio::test]
async fn every_file_is_placed_while_others_write_to_the_namespace() {
    let lost = "route=files/upload_session/finish*,every=2,do=service:lock";
    let model = LockModel {
        single_ms: (5, 20),
        batch_ms: 10,
        entry_ms: (0, 1),
        wait_ms: 10,
        whole_share: 0.0,
    };
    all_are_placed(Account {
        faults: lost.parse().unwrap(),
        lock: Some(model),
        ..Account::default()
    })
    .await;
}

#[tokio::test]
async fn a_header_limit_below_ours_is_found_out() {
    let service = all_are_placed(Account {
        header_bytes_max: 20 << 10,
        ..Account::default()
    })
    .await;
    let batches = service.calls("files/upload_session/append_batch");
    assert!((3..=12).contains(&batches), "{batches}");
}

#[tokio::test]
async fn the_emulated_service_takes_up_a_session_where_it_was_left() {
    let (service, dropbox) = serve(Account::default()).await;
    let bytes = Bytes::from(vec![9; 3 * BLOCK_BYTES + 9]);
    let (size, destination) = (bytes.len() as u64, at("/Out/a.mov"));
    let chunk = |start: usize| {
        let end = bytes.len().min(start + BLOCK_BYTES);
        Chunk::new(start as u64, bytes.slice(start..end))
    };
    let first = dropbox.begin(&destination, size, &mark()).await.unwrap();
    first.append(chunk(BLOCK_BYTES)).await.unwrap();
    let (words, acknowledged) = (first.checkpoint().unwrap(), first.acknowledged());
    drop(first);
    let before = service.bytes_received();
    let session = resume(&dropbox, &destination, size, &words, &acknowledged).await;
    let session = session.expect("it is there");
    for start in [0, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES] {
        session.append(chunk(start)).await.unwrap();
    }
    let placed = session.commit(&digests(&bytes)).await.unwrap();
    assert_eq!(placed.evidence, Evidence::E2);
    assert_eq!(service.bytes_received() - before, size - BLOCK_BYTES as u64);
    let gone = resume(&dropbox, &destination, size, &words, &acknowledged).await;
    assert!(gone.is_none(), "it was finished");
}
