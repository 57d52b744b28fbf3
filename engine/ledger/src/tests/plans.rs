//! How SQLite runs the statements that grow with the ledger. A plan that parses a set again for every
//! row, or walks a whole table, is a hundred times slower and looks the same in every other test.

use sqlx::{Connection, Row};

use crate::conflicts::{
    CONFLICTS, CONFLICTS_OF_FLOW, END_CONFLICTS, NOTE_CONFLICTS, RESOLVE_CONFLICT,
};
use crate::notes::{
    FORGET_INTENTS, FORGET_PARTS, FORGET_SESSIONS, HELD, KEEP_INTENTS, KEEP_PARTS, KEEP_SESSIONS,
};
use crate::open::Target;
use crate::place::Place;
use crate::proof::{
    ATTEMPTS, CUSTODY, LAST_DONE, PLACED_AS, PLACEMENTS_AFTER, PROVED, SLICES, STEPS_AT, UNENDED,
    WITHDRAWALS, WITHDRAWALS_AFTER,
};
use crate::read::{
    CHANGED, CONTENTS, HOLDING, HOLDS, HOLDS_SIZE, INTENTS, NEXT_DUE, PARTS, PLACEMENTS, SESSIONS,
    SHARING, STEPS,
};
use crate::remember::{
    ADD_CONTENTS, ANY_TO_END, HOLD, PLACE, UNHOLD, UNPLACE, UNWITHDRAW, WITHDRAW,
};
use crate::settle::{REAP, RECLAIM, SETTLE};
use crate::tests::{open, options};
use crate::write::{ADD_STEPS, LEASE, RELEASE, RENEW};

/// The plan of a statement, one line a step, without node numbers.
async fn plan(sql: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    open(&file).await.unwrap().close_now().await;
    let target = Target {
        place: Place::File(file),
        options: options(&std::sync::Arc::default()),
    };
    let mut connection = target.connect().await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::raw_sql(explain)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut plan: Vec<String> = rows
        .iter()
        // Whether the table is looked at too does not matter here.
        .map(|row| row.get::<String, _>("detail").replace("COVERING ", ""))
        .collect();
    // A detail of how a list of ids is kept, which SQLite may choose either way.
    plan.retain(|line| line != "CREATE BLOOM FILTER");
    connection.close().await.unwrap();
    plan
}

async fn runs_as(sql: &str, expected: &[&str]) {
    assert_eq!(plan(sql).await, expected, "{sql}");
}

#[tokio::test]
async fn outcomes_are_driven_by_the_set_and_find_steps_by_id() {
    runs_as(
        SETTLE,
        &[
            "SCAN jsonb_each VIRTUAL TABLE INDEX 1:",
            "SEARCH step USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    )
    .await;
}

#[tokio::test]
async fn leasing_walks_the_queue_in_order_and_sorts_nothing() {
    runs_as(
        LEASE,
        &[
            "SEARCH step USING INTEGER PRIMARY KEY (rowid=?)",
            "LIST SUBQUERY 1",
            "SEARCH step USING INDEX step_open (run=? AND due<?)",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_next_due_time_is_one_look_at_the_queue() {
    runs_as(
        NEXT_DUE,
        &[
            "SEARCH step USING INDEX step_open (run=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH run USING INDEX sqlite_autoindex_run_1 (id=?)",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_workers_steps_are_found_among_the_leased_ones() {
    for sql in [RENEW, RELEASE] {
        runs_as(sql, &["SEARCH step USING INDEX step_owner (owner=?)"]).await;
    }
}

#[tokio::test]
async fn expired_leases_are_looked_for_only_among_the_leased_steps() {
    let expired = "SEARCH step USING INDEX step_leased (run=? AND lease_until<?)";
    runs_as(REAP, &[expired]).await;
    let all = plan(RECLAIM).await;
    // Both indexes hold nothing but leased steps.
    assert_eq!(all.len(), 1);
    assert!(
        all[0].ends_with("INDEX step_leased") || all[0].ends_with("INDEX step_owner"),
        "{all:?}"
    );
}

#[tokio::test]
async fn look_ups_are_driven_by_the_set_of_keys() {
    runs_as(
        CONTENTS,
        &[
            "SCAN wanted VIRTUAL TABLE INDEX 1:",
            "SEARCH content USING PRIMARY KEY (content_hash=?)",
        ],
    )
    .await;
    let placement = "SEARCH placement USING INDEX sqlite_autoindex_placement_1 \
                     (flow=? AND source=? AND source_asset=?)";
    let wanted = "SCAN wanted VIRTUAL TABLE INDEX 1:";
    runs_as(PLACEMENTS, &[wanted, placement]).await;
    runs_as(
        CHANGED,
        &[
            wanted,
            "CORRELATED SCALAR SUBQUERY 2",
            placement,
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH owner USING INDEX placement_sink (sink=? AND sink_asset=?)",
        ],
    )
    .await;
    let content = "placement_content (sink=? AND size=? AND content_hash=?)";
    runs_as(
        HOLDING,
        &[
            wanted,
            "SEARCH placement USING INTEGER PRIMARY KEY (rowid=?)",
            "CORRELATED SCALAR SUBQUERY 1",
            &format!("SEARCH held USING INDEX {content}"),
        ],
    )
    .await;
    runs_as(
        SHARING,
        &[
            wanted,
            "SEARCH placement USING INDEX placement_sink (sink=? AND sink_asset=?)",
            "USE TEMP B-TREE FOR GROUP BY",
        ],
    )
    .await;
    runs_as(
        HOLDS_SIZE,
        &[
            wanted,
            "SEARCH placement EXISTS USING INDEX placement_content (sink=? AND size=?)",
        ],
    )
    .await;
    runs_as(
        HOLDS,
        &[
            "SCAN wanted VIRTUAL TABLE INDEX 1:",
            "SEARCH hold USING PRIMARY KEY (flow=? AND source=? AND source_asset=?)",
        ],
    )
    .await;
    let withdrawal = "SEARCH withdrawal USING INDEX sqlite_autoindex_withdrawal_1 \
                      (flow=? AND source=? AND source_asset=?)";
    runs_as(WITHDRAWALS, &[wanted, withdrawal]).await;
}

#[tokio::test]
async fn notes_are_found_by_their_steps_and_nothing_is_sorted() {
    let wanted = "SCAN wanted VIRTUAL TABLE INDEX 1:";
    for (sql, found) in [
        (
            SESSIONS,
            "SEARCH upload_session USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (PARTS, "SEARCH part USING PRIMARY KEY (step=?)"),
        (INTENTS, "SEARCH intent USING INTEGER PRIMARY KEY (rowid=?)"),
    ] {
        runs_as(sql, &[wanted, found]).await;
    }
    let set = ["LIST SUBQUERY 1", "SCAN json_each VIRTUAL TABLE INDEX 1:"];
    for (sql, found) in [
        (HELD, "SEARCH step USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            FORGET_SESSIONS,
            "SEARCH upload_session USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (FORGET_PARTS, "SEARCH part USING PRIMARY KEY (step=?)"),
        (
            FORGET_INTENTS,
            "SEARCH intent USING INTEGER PRIMARY KEY (rowid=?)",
        ),
    ] {
        runs_as(sql, &[found, set[0], set[1]]).await;
    }
}

#[tokio::test]
async fn placements_end_holds_by_look_ups_of_the_key() {
    runs_as(
        UNHOLD,
        &[
            "SEARCH hold USING PRIMARY KEY (flow=? AND source=? AND source_asset=?)",
            "LIST SUBQUERY 2",
            "SCAN jsonb_each VIRTUAL TABLE INDEX 1:",
        ],
    )
    .await;
}

#[tokio::test]
async fn whether_a_placement_ends_anything_is_one_look_at_each_table() {
    runs_as(
        ANY_TO_END,
        &[
            "SCAN CONSTANT ROW",
            "SCALAR SUBQUERY 2",
            "CO-ROUTINE one",
            "SCAN hold",
            "SCAN one",
            "SCALAR SUBQUERY 4",
            "CO-ROUTINE one",
            "SCAN withdrawal USING INDEX sqlite_autoindex_withdrawal_1",
            "SCAN one",
        ],
    )
    .await;
}

#[tokio::test]
async fn withdrawals_come_and_go_by_look_ups_of_the_key() {
    let of_key = "(flow=? AND source=? AND source_asset=?)";
    let placement = format!("SEARCH placement USING INDEX sqlite_autoindex_placement_1 {of_key}");
    let withdrawal =
        format!("SEARCH withdrawal USING INDEX sqlite_autoindex_withdrawal_1 {of_key}");
    let set = "SCAN jsonb_each VIRTUAL TABLE INDEX 1:";
    runs_as(UNWITHDRAW, &[&withdrawal, "LIST SUBQUERY 2", set]).await;
    runs_as(
        UNPLACE,
        &[
            "SEARCH placement USING INTEGER PRIMARY KEY (rowid=?)",
            "LIST SUBQUERY 1",
            "SCAN wanted VIRTUAL TABLE INDEX 1:",
            &placement.replace("placement USING", "named USING"),
        ],
    )
    .await;
    runs_as(WITHDRAW, &[set, "CORRELATED SCALAR SUBQUERY 1", &placement]).await;
}

#[tokio::test]
async fn conflicts_are_found_by_their_key_and_nothing_is_sorted() {
    let found = "SEARCH conflict USING PRIMARY KEY";
    let set = ["LIST SUBQUERY 1", "SCAN json_each VIRTUAL TABLE INDEX 1:"];
    let one = format!("{found} (flow=? AND subject=?)");
    runs_as(RESOLVE_CONFLICT, &[&one]).await;
    runs_as(END_CONFLICTS, &[&one, set[0], set[1]]).await;
    runs_as(CONFLICTS, &[&format!("{found} ((flow,subject)>(?,?))")]).await;
    let page = format!("{found} (flow=? AND subject>?)");
    runs_as(CONFLICTS_OF_FLOW, &[&page]).await;
}

#[tokio::test]
async fn a_page_of_steps_starts_where_the_last_one_ended() {
    runs_as(
        STEPS,
        &[
            "SEARCH step USING INDEX step_run (run=? AND rowid>?)",
            "SCALAR SUBQUERY 1",
            "SEARCH run USING INDEX sqlite_autoindex_run_1 (id=?)",
        ],
    )
    .await;
}

#[tokio::test]
async fn sets_are_inserted_in_one_pass() {
    for sql in [
        ADD_CONTENTS,
        PLACE,
        HOLD,
        KEEP_SESSIONS,
        KEEP_PARTS,
        KEEP_INTENTS,
        NOTE_CONFLICTS,
    ] {
        runs_as(sql, &["SCAN jsonb_each VIRTUAL TABLE INDEX 1:"]).await;
    }
    let add = plan(ADD_STEPS).await;
    assert_eq!(add[0], "SCAN jsonb_each VIRTUAL TABLE INDEX 1:");
}

#[tokio::test]
async fn the_past_is_read_along_its_indexes() {
    let run = "SEARCH run USING INDEX sqlite_autoindex_run_1 (id=?)";
    runs_as(
        STEPS_AT,
        &[
            "SEARCH step USING INDEX step_path (run=? AND path=?)",
            "SCALAR SUBQUERY 1",
            run,
        ],
    )
    .await;
    runs_as(
        UNENDED,
        &[
            "SEARCH step USING INDEX step_run (run=? AND rowid>?)",
            "SCALAR SUBQUERY 1",
            run,
        ],
    )
    .await;
    let of_run = "SEARCH custody USING INDEX custody_run (run=? AND event=?)";
    runs_as(LAST_DONE, &[of_run]).await;
    runs_as(PROVED, &[of_run, "USE TEMP B-TREE FOR GROUP BY"]).await;
    runs_as(SLICES, &[of_run, "USE TEMP B-TREE FOR GROUP BY"]).await;
    runs_as(
        PLACEMENTS_AFTER,
        &["SEARCH placement USING INDEX sqlite_autoindex_placement_1 (flow=? AND source=? AND source_asset>?)"],
    )
    .await;
    runs_as(
        WITHDRAWALS_AFTER,
        &["SEARCH withdrawal USING INDEX sqlite_autoindex_withdrawal_1 (flow=? AND source=? AND source_asset>?)"],
    )
    .await;
    runs_as(
        PLACED_AS,
        &[
            "SCAN wanted VIRTUAL TABLE INDEX 1:",
            "SEARCH placement USING INDEX placement_sink (sink=? AND sink_asset=?)",
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    )
    .await;
    let joined = [
        "SEARCH custody USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH step USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH run USING INTEGER PRIMARY KEY (rowid=?)",
    ];
    runs_as(CUSTODY, &joined).await;
    let of_step = [
        "SEARCH step USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH custody USING INDEX custody_step (step=?)",
        "SEARCH run USING INTEGER PRIMARY KEY (rowid=?)",
    ];
    runs_as(ATTEMPTS, &of_step).await;
}
