//! Versions that replace one revision and no other, also when they are gone on with later.

use bytes::Bytes;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{Chunk, Destination, Kind, Placed, Result, Revision, Sink};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account};

use super::express::{at, digests, mark};
use super::sandbox::{place, serve};
use crate::DropboxEndpoint;

const PATH: &str = "/Out/a.jpg";

fn version(of: &Placed) -> Destination {
    Destination::Version {
        asset: of.asset.clone(),
        draft: at(PATH).draft().clone(),
        replaces: Some(of.revision.clone()),
    }
}

async fn upload(dropbox: &DropboxEndpoint, to: &Destination, bytes: &Bytes) -> Result<Placed> {
    let session = dropbox.begin(to, bytes.len() as u64, &mark()).await?;
    for start in (0..bytes.len()).step_by(BLOCK_BYTES) {
        let end = bytes.len().min(start + BLOCK_BYTES);
        let chunk = Chunk::new(start as u64, bytes.slice(start..end));
        session.append(chunk).await?;
    }
    session.commit(&digests(bytes)).await
}

/// Lets another person change the file.
fn edit(service: &Dropbox) -> Revision {
    let bytes = Bytes::from_static(b"edited");
    Revision::new(service.put_file(PATH, bytes, None).unwrap())
}

fn revision(service: &Dropbox) -> Revision {
    let mut tree = service.tree().into_iter();
    let file = tree.find_map(|entry| entry.file).unwrap();
    Revision::new(file.rev)
}

#[tokio::test]
async fn a_version_replaces_the_revision_that_was_placed() {
    let (service, dropbox) = serve(Account::default()).await;
    let mut placed = place(&dropbox, PATH, &Bytes::from_static(b"first"))
        .await
        .unwrap();
    for bytes in [vec![2; 9], vec![3; 2 * BLOCK_BYTES]] {
        let next = upload(&dropbox, &version(&placed), &bytes.into()).await;
        let next = next.unwrap();
        assert_eq!(next.asset, placed.asset);
        placed = next;
    }
    assert_eq!(revision(&service), placed.revision);
}

#[tokio::test]
async fn what_somebody_edited_before_the_upload_is_not_replaced_and_no_byte_is_sent() {
    let (service, dropbox) = serve(Account::default()).await;
    let first = Bytes::from_static(b"first");
    let placed = place(&dropbox, PATH, &first).await.unwrap();
    let edited = edit(&service);
    let sent = service.bytes_received();
    let next = Bytes::from_static(b"second");
    let refused = upload(&dropbox, &version(&placed), &next).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(revision(&service), edited);
    assert_eq!(service.bytes_received(), sent);
}

#[tokio::test]
async fn what_somebody_edits_during_the_upload_is_not_replaced() {
    for size in [9, 2 * BLOCK_BYTES] {
        let (service, dropbox) = serve(Account::default()).await;
        let first = Bytes::from_static(b"first");
        let placed = place(&dropbox, PATH, &first).await.unwrap();
        let bytes = Bytes::from(vec![7; size]);
        let session = dropbox
            .begin(&version(&placed), size as u64, &mark())
            .await
            .unwrap();
        for start in (0..size).step_by(BLOCK_BYTES) {
            let end = size.min(start + BLOCK_BYTES);
            let chunk = Chunk::new(start as u64, bytes.slice(start..end));
            session.append(chunk).await.unwrap();
        }
        let edited = edit(&service);
        let refused = session.commit(&digests(&bytes)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict, "{size}");
        assert_eq!(revision(&service), edited);
    }
}

#[tokio::test]
async fn a_session_goes_on_to_replace_what_it_was_begun_for_and_nothing_newer() {
    let (service, dropbox) = serve(Account::default()).await;
    let first = Bytes::from_static(b"first");
    let placed = place(&dropbox, PATH, &first).await.unwrap();
    let bytes = Bytes::from(vec![7; 2 * BLOCK_BYTES]);
    let size = bytes.len() as u64;
    let half = |start: usize| Chunk::new(start as u64, bytes.slice(start..start + BLOCK_BYTES));
    let destination = version(&placed);
    let session = dropbox.begin(&destination, size, &mark()).await.unwrap();
    session.append(half(0)).await.unwrap();
    let (words, sent) = (session.checkpoint().unwrap(), session.acknowledged());
    drop(session);

    let edited = edit(&service);
    let newer = version(&Placed {
        revision: edited.clone(),
        ..placed
    });
    let resumed = dropbox.resume(&newer, size, &mark(), &words, &sent).await;
    assert!(resumed.unwrap().is_none(), "it was begun for another one");
    let resumed = dropbox
        .resume(&destination, size, &mark(), &words, &sent)
        .await;
    let resumed = resumed.unwrap().expect("it is there");
    resumed.append(half(BLOCK_BYTES)).await.unwrap();
    let refused = resumed.commit(&digests(&bytes)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert_eq!(revision(&service), edited);
}
