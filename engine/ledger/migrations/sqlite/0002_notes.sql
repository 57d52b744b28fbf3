-- What is noted of steps in flight, so that another attempt can go on; who the ledger is; how many calls
-- accounts made; what plans found unchanged.
PRAGMA user_version = 2;

-- Tells this ledger from a copy of another one that lies beside the same jots.
CREATE TABLE identity (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO identity (id) SELECT lower(hex(randomblob(16)));

-- The upload session of a step, in the sink's own words.
CREATE TABLE upload_session (
    step    INTEGER PRIMARY KEY REFERENCES step (id),
    session TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

-- What the sink acknowledged of it. The digest is the data plane's.
CREATE TABLE part (
    step   INTEGER NOT NULL,
    start  INTEGER NOT NULL,
    length INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (step, start)
) STRICT, WITHOUT ROWID;

-- A commit of these bytes was about to be sent.
CREATE TABLE intent (
    step         INTEGER PRIMARY KEY REFERENCES step (id),
    size         INTEGER NOT NULL,
    blake3       BLOB NOT NULL CHECK (length(blake3) = 32),
    content_hash BLOB,
    at           INTEGER NOT NULL
) STRICT;

CREATE TABLE call_count (
    account TEXT NOT NULL,
    month   TEXT NOT NULL,
    calls   INTEGER NOT NULL,
    PRIMARY KEY (account, month)
) STRICT, WITHOUT ROWID;

ALTER TABLE run ADD COLUMN unchanged_assets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN unchanged_bytes INTEGER NOT NULL DEFAULT 0;
