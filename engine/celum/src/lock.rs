//! Versions that replace one version and no other: CELUM compares nothing when it writes, so the asset is locked, read
//! again, and only then written.
//!
//! The lock's comment names Windlass and the upload. What a crash leaves, after each step:
//!
//! | after | at the tenant | who comes next |
//! |---|---|---|
//! | the lock | the asset as it was, locked | `find` finds no version of ours and lifts the lock |
//! | the version | our version, perhaps not current, locked | `find` makes it current and lifts the lock |
//! | its fields | our version with its fields, locked | the same |
//! | the lock is lifted | our version, free | `find` finds it |
//!
//! Until then others are refused, and read in the comment by whom. A lock of ours that is met when the same asset is
//! written again is taken over: nobody else has our user and our comment. A lock of anybody else is never lifted.

use serde_json::json;
use windlass_core::{Correlation, Error, Kind, Placed, Result, Revision};

use crate::endpoint::Shared;
use crate::holding::locked;
use crate::wire;

/// What the comment of every lock of ours begins with.
const COMMENT: &str = "windlass is adding a version:";

/// Who has locked an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// We, in this process or in one that crashed.
    Ours,
    /// Somebody else, who says why.
    Other(String),
}

impl Shared {
    /// Who has locked an asset. Tenants may hide who: the comment decides then.
    pub(crate) async fn holder(&self, asset: &wire::Asset) -> Result<Holder> {
        let Some((lock, comment)) = asset
            .lock
            .as_ref()
            .and_then(|lock| Some((lock, locked(lock)?)))
        else {
            return Ok(Holder::Nobody);
        };
        let by = lock["creation"]["userId"].as_i64();
        let is_ours = match by {
            Some(by) => comment.starts_with(COMMENT) && by == self.me().await?,
            None => comment.starts_with(COMMENT),
        };
        Ok(match is_ours {
            true => Holder::Ours,
            false => Holder::Other(comment),
        })
    }

    /// Refuses an asset that somebody else has locked. Answers whether it has a lock of ours, which a crash has left.
    pub(crate) async fn must_be_free(&self, asset: &wire::Asset) -> Result<bool> {
        match self.holder(asset).await? {
            Holder::Nobody => Ok(false),
            Holder::Ours => Ok(true),
            Holder::Other(comment) => Err(Error::new(
                Kind::Conflict,
                format!("somebody has locked the asset: {comment}"),
            )
            .with_context("asset", asset.id)
            .with_hint("it is tried again; whoever locked it can unlock it in CELUM")),
        }
    }

    /// Locks an asset whose current version is this one, against everybody but this user.
    ///
    /// Errors: `Conflict` where it has another one, or somebody else's lock.
    pub(crate) async fn lock(
        &self,
        asset: i64,
        replaces: &Revision,
        correlation: &Correlation,
    ) -> Result<()> {
        let now = self.unchanged(asset, replaces).await?;
        self.must_be_free(&now).await?;
        let comment = format!("{COMMENT} {correlation}");
        let body = json!({ "lock": { "op": "SET", "comment": comment } });
        let Err(refused) = self.patch(asset, &body, "locking the asset").await else {
            return Ok(());
        };
        // Somebody may have been faster, and says why; or the answer was lost and the lock is there.
        let Ok(now) = self.reread(asset).await else {
            return Err(refused);
        };
        match self.must_be_free(&now).await? {
            false => Err(refused),
            true => match self.unlock(asset).await {
                Ok(()) => Err(refused),
                Err(left) => Err(refused.with_context("still locked", left)),
            },
        }
    }

    /// Lifts our own lock.
    pub(crate) async fn unlock(&self, asset: i64) -> Result<()> {
        let body = json!({ "lock": { "op": "CLEAR" } });
        self.patch(asset, &body, "unlocking the asset").await
    }

    /// Lifts our own lock once the version was placed or refused. An asset that is gone or that somebody else has locked
    /// by now is left alone.
    pub(crate) async fn unlock_after(&self, asset: i64, outcome: Result<Placed>) -> Result<Placed> {
        match (outcome, self.unlock_own(asset).await) {
            (outcome, Ok(())) => outcome,
            (Ok(_), Err(left)) => Err(Error::new(
                Kind::Ambiguous,
                "the version is in place, and the asset could not be unlocked",
            )
            .with_context("asset", asset)
            .with_source(left)),
            (Err(error), Err(left)) => Err(error.with_context("still locked", left)),
        }
    }

    async fn unlock_own(&self, asset: i64) -> Result<()> {
        let Some(now) = self.api.asset(asset).await? else {
            return Ok(());
        };
        match self.holder(&now).await? {
            Holder::Other(_) => Ok(()),
            // Tenants may not show locks.
            Holder::Nobody | Holder::Ours => self.unlock(asset).await,
        }
    }
}
