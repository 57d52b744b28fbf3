//! Custody exports: what they say, and that nothing in them can be changed.

use std::io::BufReader;

use jiff::Timestamp;
use windlass_core::sealed::{SealedReader, SealedWriter};
use windlass_core::sign::SigningKey;
use windlass_core::{CustodyEvent, Error};

use super::*;
use crate::{After, CUSTODY_DOCUMENT, Custody, CustodyHeader, export_custody, verify_custody};

async fn export(world: &World, after: Option<After>) -> (Vec<u8>, Custody) {
    let header = CustodyHeader {
        ledger: world.ledger.id().await.unwrap(),
        made: Timestamp::UNIX_EPOCH,
        run: None,
        after,
    };
    let keys = [SigningKey::from_seed(&[9; 32])];
    export_custody(world.ledger.as_ref(), header, Vec::new(), &keys)
        .await
        .unwrap()
}

fn verify(bytes: &[u8]) -> Result<Custody> {
    verify_custody(BufReader::new(bytes))
}

/// The same document with other lines, sealed again: what somebody with the program at hand could make.
fn resealed(bytes: &[u8], change: impl Fn(usize, String) -> Option<String>) -> Vec<u8> {
    let mut reader = SealedReader::of_any_kind(BufReader::new(bytes));
    let mut writer = SealedWriter::new(CUSTODY_DOCUMENT, Vec::new());
    let mut at = 0;
    while let Some(line) = reader.line().unwrap() {
        if let Some(line) = change(at, line.to_owned()) {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            writer.line(&value).unwrap();
        }
        at += 1;
    }
    writer.seal(&[]).unwrap().0
}

async fn world() -> World {
    let world = World::new();
    for index in 0..5 {
        world.file(&format!("/In/ACME/Approved/{index}.tif"), &[index; 100]);
    }
    world.run().await;
    world
}

#[tokio::test]
async fn an_export_proves_itself_and_says_what_was_done() {
    let world = world().await;
    let (bytes, exported) = export(&world, None).await;
    let verified = verify(&bytes).unwrap();
    assert_eq!(verified, exported);
    assert_eq!(verified.sums.records, 5);
    assert_eq!(verified.sums.events[&CustodyEvent::Done], 5);
    assert_eq!(verified.sums.bytes_moved, 500);
    assert_eq!(verified.seal.signed_by.len(), 1);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.contains(&Blake3::of(&[3; 100]).to_hex()),
        "the digest of each file"
    );
}

#[tokio::test]
async fn a_record_cannot_be_changed_left_out_or_moved_even_if_the_seal_is_made_anew() {
    let world = world().await;
    let (bytes, exported) = export(&world, None).await;
    let same = resealed(&bytes, |_, line| Some(line));
    assert_eq!(verify(&same).unwrap().chain, exported.chain);
    let refused = |bytes: &[u8]| -> Error {
        let error = verify(bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error:?}");
        error
    };
    refused(&resealed(&bytes, |at, line| (at != 3).then_some(line)));
    refused(&resealed(&bytes, |at, line| match at {
        3 => Some(line.replace("/2.tif", "/x.tif")),
        _ => Some(line),
    }));
    refused(&resealed(&bytes, |_, line| {
        Some(line.replace("\"records\":5", "\"records\":4"))
    }));
    let mut edited = bytes;
    let at = edited.len() / 2;
    edited[at] ^= 1;
    assert!(verify(&edited).is_err());
}

#[tokio::test]
async fn an_export_goes_on_where_the_one_before_ended() {
    let world = world().await;
    let (_, first) = export(&world, None).await;
    world.file("/In/ACME/Approved/later.tif", b"later");
    world.run().await;
    let (bytes, second) = export(&world, Some(first.as_after().unwrap())).await;
    assert_eq!(second.sums.records, 1);
    let verified = verify(&bytes).unwrap();
    verified.follows(&first).unwrap();
    // One export of everything ends in the same chain: nothing was left out between the two.
    let (_, whole) = export(&world, None).await;
    assert_eq!(whole.chain, second.chain);
    assert_eq!(whole.follows(&first).unwrap_err().kind(), Kind::Integrity);
    assert_eq!(second.follows(&second).unwrap_err().kind(), Kind::Integrity);
}

#[tokio::test]
async fn an_export_of_nothing_says_so() {
    let (bytes, exported) = export(&World::new(), None).await;
    assert_eq!(verify(&bytes).unwrap().sums.records, 0);
    assert_eq!(exported.as_after().unwrap_err().kind(), Kind::InvalidInput);
}

#[tokio::test]
async fn an_export_of_another_history_has_none_that_goes_on_after_it() {
    let one = world().await;
    let (_, first) = export(&one, None).await;
    // The same ledger by name, but restored from before those records.
    let other = World::new();
    other.file("/In/ACME/Approved/other.tif", b"other");
    other.run().await;
    let header = CustodyHeader {
        ledger: first.header.ledger.clone(),
        made: Timestamp::UNIX_EPOCH,
        run: None,
        after: Some(first.as_after().unwrap()),
    };
    let error = export_custody(other.ledger.as_ref(), header, Vec::new(), &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
}
