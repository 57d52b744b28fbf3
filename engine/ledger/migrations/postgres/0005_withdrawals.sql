-- What was placed and taken back, so that it can be proved afterwards and is not placed again by itself.

-- One row for each asset that a flow took back and did not place again. Up to linked it is the placement that stood
-- there, in the columns of that table.
CREATE TABLE withdrawal (
    flow              TEXT COLLATE "C" NOT NULL,
    source            TEXT COLLATE "C" NOT NULL,
    source_asset      TEXT COLLATE "C" NOT NULL,
    source_revision   TEXT COLLATE "C" NOT NULL,
    source_path       TEXT COLLATE "C" NOT NULL,
    sink              TEXT COLLATE "C" NOT NULL,
    sink_asset        TEXT COLLATE "C" NOT NULL,
    sink_revision     TEXT COLLATE "C" NOT NULL,
    sink_size         BIGINT NOT NULL,
    sink_content_hash BYTEA,
    evidence          TEXT COLLATE "C" NOT NULL CHECK (evidence IN ('E0', 'E1', 'E2', 'E3')),
    size              BIGINT NOT NULL,
    blake3            BYTEA NOT NULL CHECK (length(blake3) = 32),
    content_hash      BYTEA,
    draft_digest      BYTEA NOT NULL CHECK (length(draft_digest) = 32),
    collection        TEXT COLLATE "C" NOT NULL,
    linked            BIGINT NOT NULL,
    -- Why it was taken back.
    reason            TEXT COLLATE "C" NOT NULL,
    -- Where it is kept; none where it was deleted, or was gone already.
    kept              TEXT COLLATE "C",
    -- The links that were revoked, and who is known to have had access: lists of texts as JSON.
    links             TEXT NOT NULL,
    recipients        TEXT NOT NULL,
    -- The note that stands in its place, as JSON.
    note              TEXT,
    step              BIGINT NOT NULL,
    at                BIGINT NOT NULL,
    PRIMARY KEY (flow, source, source_asset)
);
