//! What every endpoint must do, whoever it is: run over `dyn` ports, selected by the capability sheet.
//!
//! The suite plays the part of a flow: what fails in a way that says "try again" is tried again, and an
//! upload is looked for before it is repeated. So it holds over a bad network too.

use std::ops::Range;
use std::sync::Arc;

use crate::support::noise;
use bytes::Bytes;
use windlass_core::digest::{ChecksumAlgorithm, ChecksumHasher};
use windlass_core::{
    Asset, AssetPath, Blake3, Change, Chunk, ContentHash, Correlation, Destination, Digests, Draft,
    Expected, Kind, Placed, Result, Reuse, Revision, Scope, Sink, Source,
};

/// How often a flow tries what may pass.
const TRIES: u32 = 6;

/// An endpoint under test, empty, with a place that may be written to.
pub(super) struct Subject {
    pub(super) source: Arc<dyn Source>,
    pub(super) sink: Arc<dyn Sink>,
    /// Where the suite may place assets.
    pub(super) collection: AssetPath,
    /// The asset type that drafts need, where the sink has types.
    pub(super) asset_type: Option<String>,
    /// Keeps whatever serves the endpoint alive.
    pub(super) _keep: Box<dyn std::any::Any>,
}

/// Runs all of it, one after the other on one endpoint.
pub(super) async fn run(subject: &Subject) {
    a_committed_content_reads_back_byte_for_byte(subject).await;
    an_empty_content_can_be_placed_and_listed(subject).await;
    nothing_is_visible_before_commit(subject).await;
    names_of_all_scripts_come_back_as_they_went(subject).await;
    a_content_with_the_wrong_digest_is_not_left_behind(subject).await;
    a_lost_commit_is_found_and_nothing_else_is(subject).await;
    a_replaced_asset_is_not_read_as_its_old_revision(subject).await;
    what_was_placed_can_be_removed_and_is_gone(subject).await;
    what_is_there_is_reused_and_what_changed_is_not(subject).await;
    digests_in_place_are_those_of_the_bytes(subject).await;
    a_listing_names_every_asset_once(subject).await;
    a_scope_that_is_not_there_is_not_found(subject).await;
}

impl Subject {
    fn draft(&self, name: &str) -> Draft {
        Draft {
            name: name.to_owned(),
            file_name: name.to_owned(),
            collection: self.collection.clone(),
            asset_type: self.asset_type.clone(),
            fields: Vec::new(),
            availability: None,
            handing: None,
            yields: std::collections::BTreeSet::new(),
        }
    }

    async fn upload(
        &self,
        destination: &Destination,
        bytes: &[u8],
        mark: &Correlation,
    ) -> Result<Placed> {
        self.upload_claiming(destination, bytes, mark, &digests(bytes))
            .await
    }

    /// As a flow does it: after a failure that may pass, look for the asset, then upload again.
    async fn upload_claiming(
        &self,
        destination: &Destination,
        bytes: &[u8],
        mark: &Correlation,
        claimed: &Digests,
    ) -> Result<Placed> {
        let mut tries = TRIES;
        loop {
            let uploaded = self.upload_once(destination, bytes, mark, claimed).await;
            tries -= 1;
            match uploaded {
                Err(error) if error.is_temporary() && tries > 0 => {}
                ended => return ended,
            }
            let found = self
                .sink
                .find(destination, mark, &Expected::from(claimed))
                .await?;
            if let Some(placed) = found {
                return Ok(placed);
            }
        }
    }

    async fn upload_once(
        &self,
        destination: &Destination,
        bytes: &[u8],
        mark: &Correlation,
        claimed: &Digests,
    ) -> Result<Placed> {
        let sheet = self.sink.capabilities();
        let session = self
            .sink
            .begin(destination, bytes.len() as u64, mark)
            .await?;
        // The smallest chunks that the sheet allows, so that several are needed.
        let chunk = (sheet.chunk_multiple.max(64 << 10)).min(sheet.chunk_bytes_max) as usize;
        for (index, piece) in bytes.chunks(chunk).enumerate() {
            session
                .append(Chunk::new(
                    (index * chunk) as u64,
                    Bytes::copy_from_slice(piece),
                ))
                .await?;
        }
        session.commit(claimed).await
    }

    async fn place(&self, name: &str, bytes: &[u8]) -> Placed {
        let destination = Destination::New {
            draft: self.draft(name),
        };
        self.upload(&destination, bytes, &mark(name)).await.unwrap()
    }

    async fn list(&self) -> Vec<Asset> {
        let scope = Scope {
            root: self.collection.clone(),
        };
        let mut cursor = None;
        let mut assets: Vec<Asset> = Vec::new();
        loop {
            let page = self.source.changes(&scope, cursor.as_ref()).await.unwrap();
            for change in page.changes {
                if let Change::Asset(asset) = change {
                    assets.push(asset);
                }
            }
            if !page.more {
                return assets;
            }
            cursor = Some(page.cursor);
        }
    }

    /// Reads a range behind what is in the buffer already, again if the line breaks for good.
    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let before = into.len();
        let mut tries = TRIES;
        loop {
            into.truncate(before);
            tries -= 1;
            match self.source.read(asset, range.clone(), into).await {
                Err(error) if error.is_temporary() && tries > 0 => {}
                ended => return ended,
            }
        }
    }

    async fn stat(&self, placed: &Placed) -> Option<Asset> {
        self.source.stat(&placed.asset).await.unwrap()
    }
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: Blake3::of(bytes),
        content_hash: Some(ContentHash::of(bytes)),
    }
}

fn mark(text: &str) -> Correlation {
    Correlation::derive("conformance", "suite", text, "1")
}

async fn a_committed_content_reads_back_byte_for_byte(subject: &Subject) {
    for length in [1, 1000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9_000_001] {
        let bytes = noise(length, length as u64);
        let placed = subject.place(&format!("read-{length}.bin"), &bytes).await;
        assert_eq!(placed.size, length as u64);
        let asset = subject.stat(&placed).await.expect("it is there");
        assert_eq!(asset.size, length as u64);
        assert_eq!(asset.revision, placed.revision);
        if let Some(hash) = asset.content_hash {
            assert_eq!(hash, ContentHash::of(&bytes));
        }
        let end = length as u64;
        for range in [0..end, 0..1, end - 1..end, end / 3..end / 2] {
            let mut read = vec![7];
            subject
                .read(&asset, range.clone(), &mut read)
                .await
                .unwrap();
            assert_eq!(read[0], 7, "what was in the buffer stays");
            assert!(
                read[1..] == bytes[range.start as usize..range.end as usize],
                "{length} {range:?}"
            );
        }
    }
}

async fn an_empty_content_can_be_placed_and_listed(subject: &Subject) {
    let placed = subject.place("empty.txt", b"").await;
    let asset = subject.stat(&placed).await.expect("it is there");
    assert_eq!(asset.size, 0);
}

async fn nothing_is_visible_before_commit(subject: &Subject) {
    let before = subject.list().await.len();
    let destination = Destination::New {
        draft: subject.draft("unseen.bin"),
    };
    let session = subject
        .sink
        .begin(&destination, 10, &mark("unseen"))
        .await
        .unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"0123456789")))
        .await
        .unwrap();
    assert_eq!(subject.list().await.len(), before);
    session.abort().await.unwrap();
    assert_eq!(subject.list().await.len(), before);
}

async fn names_of_all_scripts_come_back_as_they_went(subject: &Subject) {
    for name in [
        "Größe Übersicht.txt",
        "春のキャンペーン.txt",
        "été 😀.txt",
        "مرحبا.txt",
        "a & b + c%20#1.txt",
    ] {
        let placed = subject.place(name, name.as_bytes()).await;
        let asset = subject.stat(&placed).await.expect("it is there");
        assert_eq!(asset.path.name(), name);
    }
}

async fn a_content_with_the_wrong_digest_is_not_left_behind(subject: &Subject) {
    if !subject.sink.capabilities().states_content_hash {
        return;
    }
    let before = subject.list().await.len();
    let bytes = noise(5000, 3);
    let mut claimed = digests(&bytes);
    claimed.content_hash = Some(ContentHash::of(b"something else"));
    let destination = Destination::New {
        draft: subject.draft("wrong.bin"),
    };
    let refused = subject
        .upload_claiming(&destination, &bytes, &mark("wrong"), &claimed)
        .await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Integrity);
    assert_eq!(subject.list().await.len(), before);
}

async fn a_lost_commit_is_found_and_nothing_else_is(subject: &Subject) {
    let bytes = noise(70_000, 4);
    let destination = Destination::New {
        draft: subject.draft("lost.bin"),
    };
    let expected = Expected::from(&digests(&bytes));
    let before = subject
        .sink
        .find(&destination, &mark("lost"), &expected)
        .await
        .unwrap();
    assert_eq!(before, None);
    let placed = subject
        .upload(&destination, &bytes, &mark("lost"))
        .await
        .unwrap();
    let found = subject
        .sink
        .find(&destination, &mark("lost"), &expected)
        .await
        .unwrap();
    assert_eq!(found.expect("it is found").asset, placed.asset);
    let longer = Expected {
        size: expected.size + 1,
        content_hash: Some(ContentHash::of(b"x")),
        blake3: None,
    };
    let other = subject
        .sink
        .find(&destination, &mark("lost"), &longer)
        .await
        .unwrap();
    assert_eq!(other, None, "other bytes are not mistaken for ours");
}

async fn a_replaced_asset_is_not_read_as_its_old_revision(subject: &Subject) {
    let first = noise(50_000, 5);
    let placed = subject.place("versions.bin", &first).await;
    let old = subject.stat(&placed).await.expect("it is there");
    let second = noise(60_000, 6);
    let destination = Destination::Version {
        asset: placed.asset.clone(),
        draft: subject.draft("versions.bin"),
        replaces: None,
    };
    let replaced = subject
        .upload(&destination, &second, &mark("versions-2"))
        .await
        .unwrap();
    assert_ne!(replaced.revision, placed.revision);
    let mut read = Vec::new();
    // Services that keep old revisions may still give the old bytes; nobody may give the new ones.
    match subject.read(&old, 0..50_000, &mut read).await {
        Ok(()) => assert!(read == first, "the old revision has other bytes now"),
        Err(error) => assert_eq!(error.kind(), Kind::SourceChanged, "{error:?}"),
    }
    let new = subject.stat(&replaced).await.expect("it is there");
    assert_eq!(new.size, 60_000);
}

async fn what_was_placed_can_be_removed_and_is_gone(subject: &Subject) {
    let placed = subject.place("gone.bin", b"soon gone").await;
    subject.sink.remove(&placed).await.unwrap();
    assert_eq!(subject.stat(&placed).await, None);
    // Again: it is gone already, and that is no error.
    subject.sink.remove(&placed).await.unwrap();
}

async fn what_is_there_is_reused_and_what_changed_is_not(subject: &Subject) {
    let Some(reuse) = subject.sink.capabilities().reuse else {
        return;
    };
    let bytes = noise(30_000, 8);
    let held = subject.place("held.bin", &bytes).await;
    let expected = Expected::from(&digests(&bytes));
    let further = |name: &str| {
        let mut draft = subject.draft(name);
        draft.collection = subject.collection.join("Further");
        Destination::New { draft }
    };
    let again = async |held: &Placed, name: &str| {
        let (destination, mark) = (further(name), mark(name));
        let mut tries = TRIES;
        loop {
            let reused = subject
                .sink
                .reuse(held, &destination, &mark, &digests(&bytes))
                .await;
            tries -= 1;
            match reused {
                Err(error) if error.is_temporary() && tries > 0 => {}
                ended => return ended.unwrap(),
            }
            if reuse == Reuse::Copy {
                let found = subject.sink.find(&destination, &mark, &expected).await;
                if let Some(placed) = found.unwrap() {
                    return Some(placed);
                }
            }
        }
    };
    let placed = again(&held, "further.bin").await.expect("it is there");
    assert_eq!(placed.asset == held.asset, reuse == Reuse::Link);
    let asset = subject.stat(&placed).await.expect("it is there");
    let mut read = Vec::new();
    match subject.source.capabilities().range_reads {
        true => {
            let read_all = subject.read(&asset, 0..asset.size, &mut read).await;
            read_all.unwrap();
            assert_eq!(read, bytes);
        }
        false => assert_eq!(asset.size, 30_000),
    }
    if reuse == Reuse::Link {
        // Once more changes nothing; out of one collection it is still in the other, and never out of the last.
        assert_eq!(again(&held, "further.bin").await, Some(placed));
        let unlink = async |collection: AssetPath| {
            let mut tries = TRIES;
            loop {
                tries -= 1;
                match subject.sink.unlink(&held.asset, &collection).await {
                    Err(error) if error.is_temporary() && tries > 0 => {}
                    ended => return ended.unwrap(),
                }
            }
        };
        assert!(unlink(subject.collection.join("Further")).await);
        assert!(!unlink(subject.collection.clone()).await);
        assert!(subject.stat(&held).await.is_some());
    }
    // A new version is another content, and what is gone is none.
    let destination = Destination::Version {
        asset: held.asset.clone(),
        draft: subject.draft("held.bin"),
        replaces: None,
    };
    subject
        .upload(&destination, b"another", &mark("held-2"))
        .await
        .unwrap();
    assert_eq!(again(&held, "stale.bin").await, None);
    let gone = subject.place("soon gone.bin", &bytes).await;
    subject.sink.remove(&gone).await.unwrap();
    assert_eq!(again(&gone, "gone.bin").await, None);
    let stale = subject.list().await;
    let stale = stale
        .iter()
        .filter(|asset| asset.path.name() == "stale.bin");
    assert_eq!(stale.count(), 0, "a copy of other bytes was left behind");
}

async fn digests_in_place_are_those_of_the_bytes(subject: &Subject) {
    if !subject.source.capabilities().digests_in_place {
        return;
    }
    let contents = [
        b"small".to_vec(),
        noise(3 << 20, 21),
        noise((33 << 20) + 5, 22),
    ];
    let mut assets = Vec::new();
    for (n, bytes) in contents.iter().enumerate() {
        let placed = subject.place(&format!("digest-{n}.bin"), bytes).await;
        assets.push(subject.stat(&placed).await.expect("it is there"));
    }
    let mut replaced = assets[0].clone();
    replaced.revision = Revision::new("another");
    assets.push(replaced);
    let computed = subject.source.digests(&assets).await.unwrap();
    let expected = contents.iter().map(|bytes| Some(digests(bytes)));
    assert_eq!(computed, expected.chain([None]).collect::<Vec<_>>());
    // So are the checksums that others know contents by.
    for algorithm in [
        ChecksumAlgorithm::Md5,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
        ChecksumAlgorithm::Sha512,
    ] {
        let computed = subject.source.checksums(&assets, algorithm).await.unwrap();
        let expected = contents.iter().map(|bytes| {
            let mut hasher = ChecksumHasher::new(algorithm);
            hasher.update(bytes);
            Some(hasher.finalize())
        });
        assert_eq!(computed, expected.chain([None]).collect::<Vec<_>>());
    }
}

async fn a_listing_names_every_asset_once(subject: &Subject) {
    let before = subject.list().await.len();
    for index in 0..30 {
        subject
            .place(
                &format!("listed-{index:02}.txt"),
                format!("content {index}").as_bytes(),
            )
            .await;
    }
    let listed = subject.list().await;
    assert_eq!(listed.len(), before + 30);
    let mut ids: Vec<_> = listed.iter().map(|asset| asset.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), listed.len());
    for asset in &listed {
        let now = subject
            .source
            .stat(&asset.id)
            .await
            .unwrap()
            .expect("it is there");
        assert_eq!((&now.revision, now.size), (&asset.revision, asset.size));
    }
}

async fn a_scope_that_is_not_there_is_not_found(subject: &Subject) {
    let scope = Scope {
        root: subject.collection.join("no such folder"),
    };
    let error = subject.source.changes(&scope, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
}
