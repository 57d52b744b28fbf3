//! The sentences of everything that stops a transfer by the transfer's own judgement.

use windlass_core::{Asset, Digests, Error, Kind, Placed, Source};

/// The user or a deadline stopped it.
pub(crate) fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "the transfer was cancelled")
}

/// Something that this crate must never do.
pub(crate) fn unexpected(message: &str) -> Error {
    Error::new(Kind::Unexpected, message)
}

/// A read that succeeded with too few or too many bytes.
pub(crate) fn wrong_length(offset: u64, asked: u64, got: u64) -> Error {
    Error::new(
        Kind::Integrity,
        format!("the source sent {got} bytes at offset {offset} where {asked} were asked for"),
    )
}

/// The bytes that were read are not those that the source lists.
pub(crate) fn source_disagrees(asset: &Asset, ours: &Digests) -> Option<Error> {
    let (stated, ours) = (asset.content_hash?, ours.content_hash?);
    (stated != ours).then(|| {
        Error::new(
            Kind::Integrity,
            format!("the bytes read have content hash {ours}, but the source states {stated}"),
        )
    })
}

/// What the sink holds is not what was handed over.
pub(crate) fn sink_disagrees(placed: &Placed, ours: &Digests) -> Option<Error> {
    if placed.size != ours.size {
        return Some(Error::new(
            Kind::Integrity,
            format!(
                "the sink holds {} bytes as {}, but {} were handed over",
                placed.size, placed.asset, ours.size
            ),
        ));
    }
    let (theirs, mine) = (placed.content_hash?, ours.content_hash?);
    (theirs != mine).then(|| {
        Error::new(
            Kind::Integrity,
            format!(
                "the sink states content hash {theirs} for {}, but the bytes handed over have {mine}",
                placed.asset
            ),
        )
    })
}

/// Asks the source what became of the asset after a failure that its change would explain, and says
/// so: changed, grew, shrank or vanished. If it is as it was, the failure stands as it is.
pub(crate) async fn explain(source: &dyn Source, asset: &Asset, error: Error) -> Error {
    let now = match source.stat(&asset.id).await {
        Ok(now) => now,
        Err(failure) => return error.with_context("looking at the source again", failure),
    };
    let (change, how) = match now {
        None => ("vanished", "vanished".to_owned()),
        Some(now) if now.revision == asset.revision => return error,
        Some(now) if now.size < asset.size => (
            "shrank",
            format!("shrank from {} to {} bytes", asset.size, now.size),
        ),
        Some(now) if now.size > asset.size => (
            "grew",
            format!("grew from {} to {} bytes", asset.size, now.size),
        ),
        Some(_) => ("changed", "changed".to_owned()),
    };
    Error::new(
        Kind::SourceChanged,
        format!("the asset {how} at the source while it was read"),
    )
    .with_context("change", change)
    .with_hint("the next plan sees the source as it is now")
    .with_source(error)
}

/// Whether a failed read may be explained by a change of the source.
pub(crate) fn may_be_change(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::SourceChanged | Kind::NotFound | Kind::Conflict | Kind::Integrity
    )
}
