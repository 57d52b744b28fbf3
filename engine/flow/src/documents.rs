//! Small documents that Windlass writes itself beside what it places: notes, package manifests, the papers of an archive.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use windlass_core::{
    Asset, AssetPath, Blake3, Chunk, ContentHash, Correlation, Cursor, Destination, Digests, Draft,
    Error, Expected, Kind, Ledger, Placed, Result, Sink, Source,
};

/// Writes documents and remembers them, so that what did not change is not written again and what people changed is left
/// alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Documents<'a> {
    pub(crate) flow: &'a str,
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) reader: &'a dyn Source,
}

/// What is remembered of a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) placed: Placed,
    pub(crate) blake3: Blake3,
}

impl Documents<'_> {
    /// Makes a document what it shall be. Answers whether it had to be written.
    ///
    /// Errors: `Conflict` where somebody else's file is in its place, or somebody changed it.
    pub(crate) async fn put(&self, path: &AssetPath, bytes: &[u8]) -> Result<bool> {
        let before = self.written(path).await?;
        let there = match &before {
            None => None,
            Some(before) => self.reader.stat(&before.placed.asset).await?,
        };
        let same = Blake3::of(bytes);
        let destination = match (before, there) {
            (Some(before), Some(there)) => {
                if is_touched(&before.placed, &there) {
                    return Err(Error::new(
                        Kind::Conflict,
                        "somebody changed it, so it is left as it is",
                    )
                    .with_context("path", path));
                }
                if before.blake3 == same && there.path.key() == path.key() {
                    return Ok(false);
                }
                Destination::Version {
                    asset: before.placed.asset,
                    draft: draft(path),
                    replaces: Some(there.revision),
                }
            }
            _ => Destination::New { draft: draft(path) },
        };
        let mark = Correlation::derive(self.flow, self.sink.name(), path.as_str(), &same.to_hex());
        let placed = upload(self.sink, &destination, &mark, bytes).await?;
        self.remember(path, &placed, same).await?;
        Ok(true)
    }

    /// Takes a document away that is not needed any more, if it is as it was written.
    pub(crate) async fn remove(&self, path: &AssetPath) -> Result<()> {
        if let Some(before) = self.written(path).await? {
            self.sink.remove(&before.placed).await?;
        }
        self.ledger.set_cursor(&self.key(path), None).await
    }

    /// What is remembered of the document that was written to this path.
    pub(crate) async fn written(&self, path: &AssetPath) -> Result<Option<Written>> {
        let noted = self.ledger.cursor(&self.key(path)).await?;
        // What another version wrote down in other words is as good as nothing: the sink says what is there.
        Ok(noted.and_then(|noted| serde_json::from_str(noted.as_str()).ok()))
    }

    async fn remember(&self, path: &AssetPath, placed: &Placed, blake3: Blake3) -> Result<()> {
        let written = Written {
            placed: placed.clone(),
            blake3,
        };
        let text = serde_json::to_string(&written).map_err(|error| {
            Error::new(Kind::Unexpected, "a document cannot be noted").with_source(error)
        })?;
        let text = Cursor::new(text);
        self.ledger.set_cursor(&self.key(path), Some(&text)).await
    }

    fn key(&self, path: &AssetPath) -> String {
        format!("document of {}: {}", self.flow, path.key())
    }
}

/// Whether a file has other bytes than were written. Some services give a file that is only moved another revision.
pub(crate) fn is_touched(placed: &Placed, there: &Asset) -> bool {
    let same_hash = there.content_hash.is_some() && there.content_hash == placed.content_hash;
    there.revision != placed.revision && !same_hash
}

fn draft(path: &AssetPath) -> Draft {
    Draft {
        name: path.name().to_owned(),
        file_name: path.name().to_owned(),
        collection: path.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

/// Uploads bytes that are in memory. A lost answer is looked for, and so is what an earlier try has left in the place.
pub(crate) async fn upload(
    sink: &dyn Sink,
    destination: &Destination,
    mark: &Correlation,
    bytes: &[u8],
) -> Result<Placed> {
    let digests = Digests {
        size: bytes.len() as u64,
        blake3: Blake3::of(bytes),
        content_hash: Some(ContentHash::of(bytes)),
    };
    let sheet = sink.capabilities();
    let multiple = sheet.chunk_multiple.max(1);
    let chunk = (sheet.chunk_bytes_max / multiple * multiple).clamp(multiple, 64 << 20);
    let session = sink.begin(destination, digests.size, mark).await?;
    let whole = Bytes::copy_from_slice(bytes);
    let mut offset = 0;
    while offset < digests.size {
        let end = digests.size.min(offset + chunk);
        let part = slice(&whole, offset, end);
        let content_hash = sheet.wants_chunk_hash.then(|| ContentHash::of(&part));
        session
            .append(Chunk {
                offset,
                bytes: part,
                content_hash,
            })
            .await?;
        offset = end;
    }
    match session.commit(&digests).await {
        Ok(placed) => Ok(placed),
        Err(error) if matches!(error.kind(), Kind::Ambiguous | Kind::Conflict) => {
            let expected = Expected::from(&digests);
            let found = sink.find(destination, mark, &expected).await?;
            found.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

fn slice(whole: &Bytes, start: u64, end: u64) -> Bytes {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(whole.len());
    whole.slice(index(start)..index(end))
}
