-- What is noted of steps in flight, so that another attempt can go on; which jots count; how many calls
-- accounts made; what plans found unchanged.
PRAGMA user_version = 2;

-- One row: the jots file that counts is the one that names this epoch, and in it the records after the one that
-- was folded last. Every opening and every copy begins a new epoch.
CREATE TABLE jots (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    epoch  TEXT NOT NULL,
    folded INTEGER NOT NULL
) STRICT;
INSERT INTO jots (only, epoch, folded) SELECT 1, lower(hex(randomblob(16))), 0;

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

-- Rows of 300 bytes make a tree without row ids deep, because its inner pages hold whole rows too. With an index
-- beside them look-ups in the order of placing, which is that of listings, read neighbours.
ALTER TABLE placement RENAME TO placement_of_version_1;

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
    UNIQUE (flow, source, source_asset)
) STRICT;

INSERT INTO placement SELECT * FROM placement_of_version_1 ORDER BY step;
DROP TABLE placement_of_version_1;
