//! What only a real folder can show: files that change under the reader, links, crashes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use windlass_core::{
    Asset, AssetId, AssetPath, Change, Chunk, Correlation, Destination, Digests, Draft, Scope,
    Source, UploadSession,
};

use crate::{LocalEndpoint, LocalOptions};

mod outlet;
mod scan;
mod sink;
mod source;

struct Folder {
    dir: tempfile::TempDir,
    endpoint: LocalEndpoint,
}

fn open(root: &Path, exclusive: bool) -> LocalEndpoint {
    LocalEndpoint::open(LocalOptions {
        name: "nas".into(),
        root: root.to_owned(),
        exclusive,
    })
    .unwrap()
}

fn folder() -> Folder {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = open(dir.path(), false);
    Folder { dir, endpoint }
}

/// A folder whose paths the kernel resolves, and one whose paths we walk ourselves.
fn folders_of_both_ways() -> [Folder; 2] {
    let mut walked = folder();
    walked.endpoint.root = walked.endpoint.root.by_segments();
    [folder(), walked]
}

impl Folder {
    fn at(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// What lies in a folder, hidden files included.
    fn names(&self, path: &str) -> Vec<String> {
        let names = fs::read_dir(self.at(path)).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    async fn assets(&self) -> Vec<Asset> {
        let mut cursor = None;
        let mut assets = Vec::new();
        loop {
            let page = self.endpoint.changes(&everything(), cursor.as_ref()).await;
            let page = page.unwrap();
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

    async fn list(&self) -> Vec<String> {
        let assets = self.assets().await;
        assets.iter().map(|asset| asset.path.to_string()).collect()
    }

    async fn stat(&self, path: &str) -> Asset {
        let asset = self.endpoint.stat(&AssetId::new(path)).await.unwrap();
        asset.expect("it is there")
    }
}

fn everything() -> Scope {
    Scope {
        root: AssetPath::new(""),
    }
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: windlass_core::Blake3::of(bytes),
        content_hash: Some(windlass_core::ContentHash::of(bytes)),
    }
}

fn new(path: &str) -> Destination {
    let path = AssetPath::new(path);
    let draft = Draft {
        name: path.name().to_owned(),
        file_name: path.name().to_owned(),
        collection: path.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    };
    Destination::New { draft }
}

fn mark() -> Correlation {
    Correlation::derive("flow", "source", "asset", "revision")
}

async fn append(session: &dyn UploadSession, offset: u64, bytes: &[u8]) {
    let chunk = Chunk::new(offset, Bytes::copy_from_slice(bytes));
    session.append(chunk).await.unwrap();
}

/// Bytes that no two places of a file share, as far as it matters here.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Runs work as a user who may only what files' modes say, also where the tests run as root. Threads that the work
/// starts are bound as well.
fn as_an_ordinary_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    std::thread::scope(|scope| {
        let bound = scope.spawn(|| {
            let sets = capabilities(None).unwrap();
            let effective = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective, ..sets }).unwrap();
            work()
        });
        bound.join().unwrap()
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}
