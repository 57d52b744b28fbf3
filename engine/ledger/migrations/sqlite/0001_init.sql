-- The durable record. Times are epoch milliseconds, digests 32 bytes, states and actions the words
-- that reports use. Read it with any SQLite client that opens it read-only.
PRAGMA application_id = 1464747084; -- 'WNDL'
PRAGMA user_version = 1;

CREATE TABLE run (
    key      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    flow     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('planning', 'running', 'finished', 'stopped', 'abandoned')),
    started  INTEGER NOT NULL,
    finished INTEGER
) STRICT;

CREATE TABLE step (
    id          INTEGER PRIMARY KEY,
    run         INTEGER NOT NULL REFERENCES run (key),
    action      TEXT NOT NULL,
    reason      TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'leased', 'done', 'skipped', 'held', 'failed')),
    endpoint    TEXT NOT NULL,
    asset       TEXT NOT NULL,
    revision    TEXT NOT NULL,
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL CHECK (size >= 0),
    payload     TEXT NOT NULL,
    -- Not to be taken before this time.
    due         INTEGER NOT NULL,
    -- The worker that holds it or held it last.
    owner       TEXT,
    -- The fencing number: an outcome counts only with the attempt that holds the lease.
    attempt     INTEGER NOT NULL DEFAULT 0,
    -- How often a worker vanished while it held the step.
    lost        INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    bytes_moved INTEGER NOT NULL DEFAULT 0,
    message     TEXT,
    hint        TEXT,
    error       TEXT,
    -- What the sink holds, as JSON.
    placed      TEXT,
    ended       INTEGER
) STRICT;

CREATE INDEX step_run ON step (run);
CREATE INDEX step_open ON step (run, due, id) WHERE state = 'open';
CREATE INDEX step_leased ON step (run, lease_until) WHERE state = 'leased';
CREATE INDEX step_owner ON step (owner) WHERE state = 'leased';

-- Sums over step, kept in the transaction that changes it, so that nobody counts rows.
CREATE TABLE tally (
    run         INTEGER NOT NULL REFERENCES run (key),
    state       TEXT NOT NULL,
    action      TEXT NOT NULL,
    steps       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    bytes_moved INTEGER NOT NULL,
    PRIMARY KEY (run, state, action)
) STRICT, WITHOUT ROWID;

-- What is known of each content: the hash that sources state, and the digest we trust.
CREATE TABLE content (
    content_hash BLOB PRIMARY KEY CHECK (length(content_hash) = 32),
    blake3       BLOB NOT NULL CHECK (length(blake3) = 32),
    size         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where each source asset of a flow was placed last: the memory that makes a second run empty.
CREATE TABLE placement (
    flow              TEXT NOT NULL,
    source            TEXT NOT NULL,
    source_asset      TEXT NOT NULL,
    source_revision   TEXT NOT NULL,
    source_path       TEXT NOT NULL,
    sink              TEXT NOT NULL,
    sink_asset        TEXT NOT NULL,
    sink_revision     TEXT NOT NULL,
    sink_size         INTEGER NOT NULL,
    sink_content_hash BLOB,
    evidence          TEXT NOT NULL CHECK (evidence IN ('E0', 'E1', 'E2', 'E3')),
    size              INTEGER NOT NULL,
    blake3            BLOB NOT NULL CHECK (length(blake3) = 32),
    content_hash      BLOB,
    draft_digest      BLOB NOT NULL CHECK (length(draft_digest) = 32),
    step              INTEGER NOT NULL,
    at                INTEGER NOT NULL,
    PRIMARY KEY (flow, source, source_asset)
) STRICT, WITHOUT ROWID;

-- What a flow could not place and does not try again by itself: until the asset's revision or the draft
-- changes, it is placed, or a person asks.
CREATE TABLE hold (
    flow            TEXT NOT NULL,
    source          TEXT NOT NULL,
    source_asset    TEXT NOT NULL,
    source_revision TEXT NOT NULL,
    draft_digest    BLOB NOT NULL CHECK (length(draft_digest) = 32),
    reason          TEXT NOT NULL,
    step            INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    PRIMARY KEY (flow, source, source_asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursor (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who did what and when: a row for each outcome of each attempt, never changed, never deleted.
CREATE TABLE custody (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    worker      TEXT,
    event       TEXT NOT NULL CHECK (event IN ('done', 'held', 'failed', 'retry', 'lost')),
    bytes_moved INTEGER NOT NULL,
    blake3      BLOB,
    evidence    TEXT,
    sink_asset  TEXT,
    message     TEXT
) STRICT;

CREATE INDEX custody_step ON custody (step);
