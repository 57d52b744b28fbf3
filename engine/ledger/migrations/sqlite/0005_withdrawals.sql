-- What was placed and taken back, so that it can be proved afterwards and is not placed again by itself.
PRAGMA user_version = 5;

-- One row for each asset that a flow took back and did not place again. Up to linked it is the placement that stood
-- there, in the columns of that table.
CREATE TABLE withdrawal (
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
    collection        TEXT NOT NULL,
    linked            INTEGER NOT NULL,
    -- Why it was taken back.
    reason            TEXT NOT NULL,
    -- Where it is kept; none where it was deleted, or was gone already.
    kept              TEXT,
    -- The links that were revoked, and who is known to have had access: lists of texts as JSON.
    links             TEXT NOT NULL,
    recipients        TEXT NOT NULL,
    -- The note that stands in its place, as JSON.
    note              TEXT,
    step              INTEGER NOT NULL,
    at                INTEGER NOT NULL,
    UNIQUE (flow, source, source_asset)
) STRICT;
