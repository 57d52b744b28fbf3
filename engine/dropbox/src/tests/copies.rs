//! Copies inside Dropbox: many in one call, jobs that are asked after, and everything that may go wrong on the way.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use windlass_core::{AssetId, Evidence, Kind, Placed, Result, Revision, Sink};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account, LockModel};

use super::express::{at, digests, mark};
use super::sandbox::serve;
use crate::DropboxEndpoint;

const BYTES: &[u8] = b"the film";
const COPY: &str = "files/copy_batch_v2";
const CHECK: &str = "files/copy_batch/check_v2";

/// An account with the film in it, and what holds it.
async fn with_film(account: Account) -> (Arc<Dropbox>, Arc<DropboxEndpoint>, Placed) {
    let (service, endpoint) = serve(account).await;
    let bytes = Bytes::from_static(BYTES);
    let revision = service.put_file("/Film.mov", bytes, None).unwrap();
    let tree = service.tree();
    let film = tree.iter().find(|entry| entry.path_display == "/Film.mov");
    let held = Placed {
        asset: AssetId::new(film.unwrap().id.clone()),
        revision: Revision::new(revision),
        size: BYTES.len() as u64,
        content_hash: None,
        evidence: Evidence::E2,
    };
    (service, endpoint, held)
}

async fn copy(
    endpoint: &DropboxEndpoint,
    held: &Placed,
    count: usize,
) -> Vec<Result<Option<Placed>>> {
    let one = |n: usize| async move {
        let destination = at(&format!("/Region {n}/Film.mov"));
        let of = digests(BYTES);
        endpoint.reuse(held, &destination, &mark(), &of).await
    };
    join_all((0..count).map(one)).await
}

fn films(service: &Dropbox) -> usize {
    let tree = service.tree();
    let film = |file: &windlass_sandbox::dropbox::FileEntry| file.size == BYTES.len() as u64;
    tree.iter()
        .filter(|entry| entry.file.as_ref().is_some_and(film))
        .count()
}

fn all_are_there(copied: &[Result<Option<Placed>>], held: &Placed) {
    let mut ids = std::collections::BTreeSet::from([held.asset.clone()]);
    for copied in copied {
        let placed = copied.as_ref().unwrap().as_ref().expect("it is copied");
        assert_eq!(placed.evidence, Evidence::E2);
        assert_eq!(placed.content_hash, digests(BYTES).content_hash);
        assert!(ids.insert(placed.asset.clone()), "an id twice");
    }
}

#[tokio::test]
async fn forty_copies_are_one_call() {
    let (service, endpoint, held) = with_film(Account::default()).await;
    let copied = copy(&endpoint, &held, 39).await;
    all_are_there(&copied, &held);
    assert_eq!((service.calls(COPY), service.calls(CHECK)), (1, 0));
    assert_eq!(films(&service), 40);
    assert_eq!(endpoint.in_flight(), 0);
}

#[tokio::test]
async fn thousands_of_copies_go_as_jobs_that_are_asked_after() {
    let (service, endpoint, held) = with_film(Account::default()).await;
    let copied = copy(&endpoint, &held, 2_500).await;
    all_are_there(&copied, &held);
    assert_eq!(service.calls(COPY), 3);
    // Each says once that it goes on.
    assert_eq!(service.calls(CHECK), 6);
    assert_eq!(films(&service), 2_501);
}

#[tokio::test]
async fn copies_are_made_once_however_bad_the_day_is() {
    // Side by side, because what helps is mostly to wait.
    let days = [
        "route=files/copy_batch_v2,every=2,do=reset-after",
        "route=files/copy_batch_v2,every=2,do=reset-before",
        "route=files/copy_batch_v2,every=2,do=service:job-lost",
        "route=files/copy_batch/check_v2,every=2,do=503",
        "route=files/copy_batch_v2,every=2,do=service:lock",
        "route=files/copy_batch_v2,every=2,do=service:repeated-from",
    ];
    join_all(days.map(|faults| async move {
        let account = Account {
            faults: faults.parse().unwrap(),
            job_entries_min: 5,
            ..Account::default()
        };
        let (service, endpoint, held) = with_film(account).await;
        // Twice, so that every second call comes.
        all_are_there(&copy(&endpoint, &held, 4).await, &held);
        let more = join_all((0..20).map(|n| {
            let (endpoint, held) = (&endpoint, &held);
            async move {
                let destination = at(&format!("/More {n}/Film.mov"));
                let of = digests(BYTES);
                endpoint.reuse(held, &destination, &mark(), &of).await
            }
        }));
        all_are_there(&more.await, &held);
        assert_eq!(films(&service), 25, "{faults}");
        let fired: u64 = service.faults_fired().iter().sum();
        assert!(fired > 0, "{faults} never fired");
    }))
    .await;
}

#[tokio::test]
async fn copies_wait_for_others_who_write() {
    let account = Account {
        lock: Some(LockModel {
            single_ms: (5, 20),
            batch_ms: 10,
            wait_ms: 5,
            ..LockModel::default()
        }),
        ..Account::default()
    };
    let (service, endpoint, held) = with_film(account).await;
    all_are_there(&copy(&endpoint, &held, 50).await, &held);
    assert_eq!(films(&service), 51);
}

#[tokio::test]
async fn what_cannot_be_copied_has_to_be_sent_and_leaves_nothing_behind() {
    let (service, endpoint, held) = with_film(Account::default()).await;
    let other = Bytes::from_static(b"another cut");
    service.put_file("/Film.mov", other, None).unwrap();
    let copied = copy(&endpoint, &held, 3).await;
    assert!(
        copied.iter().all(|copied| matches!(copied, Ok(None))),
        "{copied:?}"
    );
    let files = service
        .tree()
        .into_iter()
        .filter(|entry| entry.file.is_some());
    assert_eq!(files.count(), 1, "a copy of other bytes was left behind");

    service.set_restricted("/Film.mov", true).unwrap();
    let copied = copy(&endpoint, &held, 1).await;
    assert!(!matches!(copied[0], Ok(Some(_))), "{copied:?}");
}

#[tokio::test]
async fn a_copy_replaces_nothing() {
    let (service, endpoint, held) = with_film(Account::default()).await;
    let other = Bytes::from_static(b"somebody's");
    service.put_file("/Region 1/Film.mov", other, None).unwrap();
    let copied = copy(&endpoint, &held, 3).await;
    let in_the_way = copied[1].as_ref().unwrap_err();
    assert_eq!(in_the_way.kind(), Kind::Conflict);
    assert!(copied[0].is_ok() && copied[2].is_ok());
    assert_eq!(films(&service), 3);
}
