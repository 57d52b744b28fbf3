//! How PostgreSQL runs the statements that grow with the ledger, on tables large enough that it has a choice. Sets are
//! spread by functions of ours there, and a wrong guess of how many rows they give makes it read whole tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use sqlx::{Connection, Executor, Row};
use windlass_core::Secret;

use crate::SqlLedger;
use crate::conflicts::{
    CONFLICTS, CONFLICTS_OF_FLOW, END_CONFLICTS, NOTE_CONFLICTS, RESOLVE_CONFLICT,
};
use crate::conformance::TestServer;
use crate::notes::{
    FORGET_INTENTS, FORGET_PARTS, FORGET_SESSIONS, HELD, KEEP_INTENTS, KEEP_PARTS, KEEP_SESSIONS,
};
use crate::place::Place;
use crate::proof::{
    ATTEMPTS, CUSTODY, CUSTODY_OF_RUN, LAST_DONE, PLACED_AS, PLACEMENTS_AFTER, PROVED, REASONS,
    SLICES, SLOWEST, STEPS_AT, UNENDED, WITHDRAWALS, WITHDRAWALS_AFTER,
};
use crate::read::{
    CHANGED, CONTENTS, HOLDING, HOLDS, HOLDS_SIZE, INTENTS, NEXT_DUE, PARTS, PLACEMENTS, SESSIONS,
    SHARING, STEPS,
};
use crate::remember::{
    ADD_CONTENTS, ANY_TO_END, HOLD, PLACE, UNHOLD, UNPLACE, UNWITHDRAW, WITHDRAW,
};
use crate::settle::{REAP, RECLAIM, SETTLE};
use crate::tests::options;
use crate::write::{ADD_STEPS, LEASE, RELEASE, RENEW};

/// Twenty of many runs with three thousand steps each, nearly all of them done, and what they placed.
const FILL: &str = "
    INSERT INTO run (id, flow, state, started) SELECT 'run-' || n, 'ingest', 'running', n FROM generate_series(1, 5000) AS n;
    INSERT INTO step (run, action, reason, state, endpoint, asset, revision, path, size, payload, due, owner, lease_until, took)
        SELECT 1 + n / 3001, 'create', 'new', CASE WHEN n % 50 = 0 THEN 'open' WHEN n % 200 = 1 THEN 'leased' ELSE 'done' END,
        'agency', 'id:' || n, 'r', '/in/' || n, n, '{}', n, 'w' || n % 9, n, n FROM generate_series(1, 60000) AS n;
    INSERT INTO content SELECT sha256(CAST(CAST(n AS TEXT) AS BYTEA)), sha256('x'), n FROM generate_series(1, 60000) AS n;
    INSERT INTO placement (flow, source, source_asset, source_revision, source_path, sink, sink_asset, sink_revision,
            sink_size, evidence, size, blake3, content_hash, draft_digest, step, at)
        SELECT 'ingest', 'agency', 'id:' || n, 'r', '/in/' || n, 'dam', 's' || n, '1', n, 'E2', n % 4000, sha256('x'),
        sha256(CAST(CAST(n AS TEXT) AS BYTEA)), sha256('x'), n, 0 FROM generate_series(1, 60000) AS n;
    INSERT INTO custody (at, run, step, attempt, event, bytes_moved, evidence)
        SELECT n, 1 + n / 3001, n, 1, 'done', n, 'E2' FROM generate_series(1, 60000) AS n;
    INSERT INTO hold SELECT 'ingest', 'agency', 'id:h' || n, 'r', sha256('x'), 'why', n, 0 FROM generate_series(1, 60000) AS n;
    INSERT INTO withdrawal SELECT 'ingest', 'agency', 'id:w' || n, 'r', '/in/' || n, 'dam', 's' || n, '1', n, NULL, 'E2', n,
        sha256('x'), NULL, sha256('x'), '', 0, 'why', NULL, '[]', '[]', NULL, n, 0 FROM generate_series(1, 60000) AS n;
    INSERT INTO conflict SELECT 'together', 'id:c' || n, 'both-changed', 'why', 'agency', 'id:c' || n, '/in/' || n, 'r', n,
        'dam', 's' || n, '/in/' || n, '1', n, n, 1, NULL FROM generate_series(1, 60000) AS n;
    INSERT INTO part SELECT n / 8, n, 1, 'd' FROM generate_series(1, 200000) AS n;
    INSERT INTO upload_session SELECT n, 'a session has a name of some length', 0 FROM generate_series(1, 60000) AS n;
    INSERT INTO intent SELECT n, 1, sha256('x'), sha256('y'), 0 FROM generate_series(1, 60000) AS n;
    ANALYZE;
";

/// The indexes that a plan uses, and the tables that it reads from end to end.
fn reads(plan: &Value, found: &mut BTreeSet<String>) {
    let text = |name: &str| plan[name].as_str().map(str::to_owned);
    if let Some(index) = text("Index Name") {
        found.insert(index);
    } else if text("Node Type").as_deref() == Some("Seq Scan") {
        found.insert(format!(
            "all of {}",
            text("Relation Name").unwrap_or_default()
        ));
    }
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        reads(inner, found);
    }
}

#[tokio::test]
async fn look_ups_on_a_server_go_along_its_indexes() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let url = server.schema().await;
    let place = Place::of_server(&Secret::new(url.clone()), &folder.path().join("w.db")).unwrap();
    let ledger = SqlLedger::open_at(place, options(&Arc::default()))
        .await
        .unwrap();
    ledger.close_now().await;
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    connection.execute(sqlx::raw_sql(FILL)).await.unwrap();
    connection
        .execute(sqlx::raw_sql(crate::postgres::SET_UP))
        .await
        .unwrap();
    // What the ledger's connections come to after a few calls of a statement.
    connection
        .execute("SET plan_cache_mode = force_generic_plan")
        .await
        .unwrap();
    let (t, n) = ("text", "bigint");
    // Of two that stand with a bar between them, both hold nothing but leased steps, or one step.
    let placed = "placement_flow_source_source_asset_key";
    let cases: &[(&str, &[&str], &[&str])] = &[
        (ADD_STEPS, &[t, n, n], &[]),
        (LEASE, &[t, n, n, n, n], &["step_open", "step_pkey"]),
        (RENEW, &[t, n], &["step_owner"]),
        (RELEASE, &[t], &["step_owner"]),
        (REAP, &[n, n, n, t, t, t], &["step_leased"]),
        (SETTLE, &[t, n], &["step_leased|step_pkey"]),
        (HELD, &[t], &["step_pkey"]),
        (NEXT_DUE, &[t], &["run_id_key", "step_open"]),
        (STEPS, &[t, n, n], &["run_id_key", "step_run"]),
        (STEPS_AT, &[t, t], &["run_id_key", "step_path"]),
        (UNENDED, &[t, n, n], &["run_id_key", "step_run"]),
        (ADD_CONTENTS, &[t], &[]),
        (PLACE, &[t, n], &[]),
        (HOLD, &[t, n], &[]),
        (UNHOLD, &[t], &["hold_pkey"]),
        (ANY_TO_END, &[], &["all of hold", "all of withdrawal"]),
        (UNPLACE, &[t], &[placed, "placement_pkey"]),
        (WITHDRAW, &[t, n], &[placed]),
        (UNWITHDRAW, &[t], &["withdrawal_pkey"]),
        (NOTE_CONFLICTS, &[t, n], &[]),
        (RESOLVE_CONFLICT, &[t, t, t, t, t, t], &["conflict_pkey"]),
        (END_CONFLICTS, &[t, t], &["conflict_pkey"]),
        (CONFLICTS, &[t, t, n], &["conflict_pkey"]),
        (CONFLICTS_OF_FLOW, &[t, t, n], &["conflict_pkey"]),
        (KEEP_SESSIONS, &[t], &[]),
        (KEEP_PARTS, &[t], &[]),
        (KEEP_INTENTS, &[t], &[]),
        (FORGET_SESSIONS, &[t], &["upload_session_pkey"]),
        (FORGET_PARTS, &[t], &["part_pkey"]),
        (FORGET_INTENTS, &[t], &["intent_pkey"]),
        (CONTENTS, &[t], &["content_pkey"]),
        (PLACEMENTS, &[t, t, t], &[placed]),
        (CHANGED, &[t, t, t], &[placed, "placement_sink"]),
        (SHARING, &[t, t], &["placement_sink"]),
        (HOLDING, &[t, t], &["placement_content", "placement_pkey"]),
        (HOLDS_SIZE, &[t, t], &["placement_content"]),
        (SESSIONS, &[t], &["upload_session_pkey"]),
        (PARTS, &[t], &["part_pkey"]),
        (INTENTS, &[t], &["intent_pkey"]),
        (HOLDS, &[t, t, t], &["hold_pkey"]),
        (WITHDRAWALS, &[t, t, t], &["withdrawal_pkey"]),
        (WITHDRAWALS_AFTER, &[t, t, t, n], &["withdrawal_pkey"]),
        (PLACEMENTS_AFTER, &[t, t, t, n], &[placed]),
        (PLACED_AS, &[t, t], &["placement_sink"]),
        (PROVED, &[n], &["custody_run"]),
        (LAST_DONE, &[n], &["custody_run"]),
        (SLICES, &[n, n, n], &["custody_run"]),
        (SLOWEST, &[n, n], &["step_run"]),
        (REASONS, &[n], &["step_run"]),
        (CUSTODY, &[n, n], &["custody_pkey", "run_pkey", "step_pkey"]),
        (
            CUSTODY_OF_RUN,
            &[n, t, n],
            &["custody_pkey", "run_id_key", "run_pkey", "step_pkey"],
        ),
        (ATTEMPTS, &[n], &["custody_step", "run_pkey", "step_pkey"]),
        (RECLAIM, &[n, n, t, t, t], &["step_leased|step_owner"]),
    ];
    let mut wrong = String::new();
    for (sql, types, expected) in cases {
        // A list of nothing has no parentheses.
        let list = |of: &[&str]| match of {
            [] => String::new(),
            of => format!("({})", of.join(", ")),
        };
        let prepare = format!("PREPARE looked_at {} AS {sql}", list(types));
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)))
            .await
            .unwrap();
        let nothing = list(&vec!["NULL"; types.len()]);
        let explain = format!("EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE looked_at {nothing}");
        let row = connection
            .fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(explain)))
            .await
            .unwrap();
        let plan: String = row.try_get_unchecked(0).unwrap();
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let mut found = BTreeSet::new();
        reads(&plan[0]["Plan"], &mut found);
        let fits =
            |(found, expected): (&String, &&str)| expected.split('|').any(|name| name == found);
        if found.len() != expected.len() || !found.iter().zip(*expected).all(fits) {
            wrong.push_str(&format!("{found:?} instead of {expected:?}: {sql}\n"));
        }
        connection.execute("DEALLOCATE looked_at").await.unwrap();
    }
    assert_eq!(wrong, "");
    connection.close().await.unwrap();
}
