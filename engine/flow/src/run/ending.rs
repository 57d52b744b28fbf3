//! What was put away and kept for long enough is deleted for good. Days may lie between a plan and its run, so everything
//! that it was decided by is asked once more right before the call: whatever somebody touched stays.
//!
//! What a crash leaves of it, and what the next attempt does:
//!
//! | crash after | where it was kept | next attempt |
//! |---|---|---|
//! | lease | it | asks, and deletes it |
//! | the call, its answer lost | nothing, or it | nothing there: it is over; else asks again, and deletes it |
//! | the outcome was not recorded | nothing | finds nothing there: it is over |
//!
//! Gone is what was wanted, whoever did it. The placement that the ledger keeps of the end says that it is one: both of the
//! pair are new if they come back.

use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Draft, Error, Holding, Kind, Outcome, Placed, Placement,
    Result, Retirement, Revision, Taken, Withdrawal,
};

use super::activity::Doing;
use super::desk::Back;
use super::step::{Attempt, StepRunner};
use crate::flows::release::is_as_placed;

/// An asset that is to be deleted for good.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) placement: &'a Placement,
    /// The file, as it was last known.
    pub(super) asset: &'a Asset,
    /// Where it is kept.
    pub(super) draft: &'a Draft,
    pub(super) why: &'a str,
}

impl StepRunner {
    /// Deletes a file that was put away.
    pub(super) async fn erase(&self, attempt: &Attempt, back: Back<'_>) -> Result<Outcome> {
        attempt.activity.begin(Doing::Looking);
        let desk = self.desk()?;
        if desk.is_there(back.asset).await? {
            return Ok(stays("its asset is there again"));
        }
        let Back {
            placement, draft, ..
        } = back;
        let kept = draft.collection.join(&draft.file_name);
        let Some(file) = self.kept(&placement.placed, &kept).await? else {
            return Ok(over(placement, back.why));
        };
        if let Some(why) = touched_file(&file, &placement.placed, &kept) {
            return Ok(stays(&why));
        }
        attempt.activity.begin(Doing::Undoing);
        // Only the revision that was looked at: the same bytes saved once more are somebody's.
        let placed = Placed {
            asset: file.id,
            revision: file.revision,
            content_hash: None,
            ..placement.placed.clone()
        };
        let mut ended = placement.clone();
        ended.placed.revision = placed.revision.clone();
        match desk.outlet.take_back(&placed, None).await? {
            Taken::Changed { path, .. } => Ok(stays(&format!("somebody changed {path}"))),
            Taken::Absent | Taken::Back { .. } => Ok(over(&ended, back.why)),
        }
    }

    /// What is where a file is kept, or where else the file is. Of some services a path is the id, and others give a new id
    /// where folders are shared.
    async fn kept(&self, placed: &Placed, kept: &AssetPath) -> Result<Option<Asset>> {
        let reader = self.sink_reader.as_ref().ok_or_else(|| {
            let message = format!(
                "{} cannot be read, so nothing there is deleted",
                placed.asset
            );
            Error::new(Kind::Unsupported, message)
        })?;
        let there = reader.stat(&placed.asset).await?;
        let is_kept = |file: &Asset| file.path.key() == kept.key();
        if there.as_ref().is_some_and(is_kept) {
            return Ok(there);
        }
        let at = reader.stat(&AssetId::new(kept.as_str())).await?;
        let is_it = |file: &Asset| there.is_none() || file.id.as_str() == kept.as_str();
        Ok(at.filter(is_it).or(there))
    }

    /// Deletes an asset that was put away.
    pub(super) async fn retire(&self, attempt: &Attempt, end: End<'_>) -> Result<Outcome> {
        attempt.activity.begin(Doing::Looking);
        let library = self.library.as_ref().ok_or_else(|| {
            let message = "the step deletes an asset for good, and this flow does not";
            Error::new(Kind::Unsupported, message)
                .with_hint("it was planned when the flow was of another kind; abandon that run")
        })?;
        if self.source.stat(&end.asset.id).await?.is_some() {
            return Ok(stays("its file is there again"));
        }
        let id = &end.placement.placed.asset;
        let held = library.consult(std::slice::from_ref(id)).await?;
        let Some(held) = held.into_iter().next().flatten() else {
            return Ok(over(end.placement, end.why));
        };
        let version = &end.placement.placed.revision;
        if let Some(why) = touched_asset(&held, version, &end.draft.collection) {
            return Ok(stays(&why));
        }
        attempt.activity.begin(Doing::Undoing);
        let retired = library.retire(id, &Retirement::Delete).await;
        match retired.map_err(|error| error.with_context("deleting", id))? {
            true => Ok(over(end.placement, end.why)),
            false => Ok(stays(&format!("{} does not delete it", library.name()))),
        }
    }
}

/// What keeps a file that was put away from being deleted: it is not where it is kept, or not what it was.
pub(crate) fn touched_file(file: &Asset, placed: &Placed, kept: &AssetPath) -> Option<String> {
    let path = &file.path;
    if path.key() != kept.key() {
        return Some(format!(
            "somebody moved it from where it was kept to {path}"
        ));
    }
    (!is_as_placed(file, placed)).then(|| format!("somebody changed {path}"))
}

/// What keeps an asset that was put away from being deleted: it is not only where it is kept, or not what it was.
pub(crate) fn touched_asset(
    held: &Holding,
    version: &Revision,
    kept: &AssetPath,
) -> Option<String> {
    let (is_kept, others): (Vec<_>, Vec<_>) = held
        .collections
        .iter()
        .partition(|one| one.key() == kept.key());
    if let Some(other) = others.first() {
        return Some(format!("somebody put it into {other}"));
    }
    if is_kept.is_empty() {
        return Some("somebody took it from where it was kept".to_owned());
    }
    let now = &held.asset.revision;
    if now != version {
        return Some(format!("it became version {now}"));
    }
    let comment = held.locked.as_ref()?;
    Some(format!("somebody works on it: {comment}"))
}

/// It is left alone. The next plan decides afresh.
fn stays(why: &str) -> Outcome {
    Outcome::Held {
        reason: format!("{why}, so it is not deleted"),
        hold: None,
    }
}

/// Nothing of it is there any more.
fn over(placement: &Placement, why: &str) -> Outcome {
    Outcome::Withdrawn(Box::new(Withdrawal {
        placement: Placement {
            draft_digest: end_mark(),
            ..placement.clone()
        },
        reason: why.to_owned(),
        kept: None,
        links: Vec::new(),
        recipients: Vec::new(),
        note: None,
        // The ledger's own time counts.
        at: jiff::Timestamp::UNIX_EPOCH,
    }))
}

/// What nothing is asked to be, so that no draft has it.
fn end_mark() -> Blake3 {
    Blake3::of(b"deleted for good after it was put away")
}

/// Whether this was the end of what had been put away: whatever of it comes back is new.
pub(crate) fn is_over(withdrawal: &Withdrawal) -> bool {
    withdrawal.kept.is_none() && withdrawal.placement.draft_digest == end_mark()
}

#[cfg(test)]
mod tests {
    use windlass_core::{Readable, Usable};

    use super::*;

    fn held(collections: &[&str]) -> Holding {
        let collections = collections.iter();
        Holding {
            asset: Asset {
                id: AssetId::new("7"),
                path: AssetPath::new("/Removed/a.jpg"),
                revision: Revision::new("1"),
                size: 3,
                modified: None,
                content_hash: None,
                tags: Vec::new(),
                readable: Readable::Yes,
            },
            title: "a".to_owned(),
            asset_type: None,
            usable: Usable::Unstated,
            collections: collections.map(|one| AssetPath::new(one)).collect(),
            statements: Vec::new(),
            findings: Vec::new(),
            locked: None,
            is_released: true,
            has_file: true,
            changed: None,
        }
    }

    #[test]
    fn an_asset_is_untouched_where_it_was_put_and_nowhere_else() {
        let touched = |held: &Holding| {
            touched_asset(held, &Revision::new("1"), &AssetPath::new("/Removed")).is_some()
        };
        assert!(!touched(&held(&["/removed"])));
        assert!(touched(&held(&["/Removed", "/Campaign"])));
        assert!(touched(&held(&["/Campaign"])));
        assert!(touched(&held(&[])), "nobody says where it is");
        let newer = Asset {
            revision: Revision::new("2"),
            ..held(&[]).asset
        };
        assert!(touched(&Holding {
            asset: newer,
            ..held(&["/Removed"])
        }));
        assert!(touched(&Holding {
            locked: Some("retouching".to_owned()),
            ..held(&["/Removed"])
        }));
    }
}
