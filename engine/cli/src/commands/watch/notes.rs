//! What the daemon keeps in the ledger for its next start: where listeners stood, and until when flows were complete.

use jiff::Timestamp;
use windlass_core::{Cursor, Ledger, Result, Scope};

/// Where a listener stood, if it is known.
pub(super) async fn heard(
    ledger: &dyn Ledger,
    endpoint: &str,
    scope: &Scope,
) -> Result<Option<Cursor>> {
    ledger.cursor(&heard_key(endpoint, scope)).await
}

/// Keeps where a listener stands.
pub(super) async fn hear(
    ledger: &dyn Ledger,
    endpoint: &str,
    scope: &Scope,
    cursor: &Cursor,
) -> Result<()> {
    let key = heard_key(endpoint, scope);
    ledger.set_cursor(&key, Some(cursor)).await
}

/// When everything was there that a flow has looked at, if it ever has. What cannot be read is not known.
pub(super) async fn complete_as_of(ledger: &dyn Ledger, flow: &str) -> Result<Option<Timestamp>> {
    let kept = ledger.cursor(&complete_key(flow)).await?;
    Ok(kept.and_then(|kept| kept.as_str().parse().ok()))
}

/// Keeps that everything was looked at that was there at a moment.
pub(super) async fn complete(ledger: &dyn Ledger, flow: &str, as_of: Timestamp) -> Result<()> {
    let kept = Cursor::new(as_of.to_string());
    ledger.set_cursor(&complete_key(flow), Some(&kept)).await
}

fn heard_key(endpoint: &str, scope: &Scope) -> String {
    format!("heard of {endpoint} at {}", scope.root.key())
}

fn complete_key(flow: &str) -> String {
    format!("{flow} complete as of")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_core::memory::MemoryLedger;
    use windlass_core::{AssetPath, SystemClock};

    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_found_under_its_own_name_only() {
        let ledger = MemoryLedger::new(Arc::new(SystemClock));
        let scope = |root: &str| Scope {
            root: AssetPath::new(root),
        };
        let cursor = Cursor::new("c7".to_owned());
        hear(&ledger, "box", &scope("/Agencies"), &cursor)
            .await
            .unwrap();
        let heard_at = |endpoint: &'static str, root: &'static str| {
            let ledger = &ledger;
            async move { heard(ledger, endpoint, &scope(root)).await.unwrap() }
        };
        assert_eq!(heard_at("box", "/agencies").await, Some(cursor));
        assert_eq!(heard_at("box", "/").await, None);
        assert_eq!(heard_at("other", "/Agencies").await, None);
        let moment = Timestamp::UNIX_EPOCH;
        complete(&ledger, "move", moment).await.unwrap();
        assert_eq!(complete_as_of(&ledger, "move").await.unwrap(), Some(moment));
        assert_eq!(complete_as_of(&ledger, "mov").await.unwrap(), None);
    }
}
