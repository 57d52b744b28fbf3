-- What two sides disagree about, until somebody chose and a pass carried it out, or it is over.
PRAGMA user_version = 6;

-- One row for each pair of a flow that waits: what the last pass found on both sides, and what was chosen about it.
CREATE TABLE conflict (
    flow           TEXT NOT NULL,
    -- The file's id, or the asset's where there is no file.
    subject        TEXT NOT NULL,
    question       TEXT NOT NULL
                   CHECK (question IN ('both-changed', 'proposed', 'removed-and-changed', 'place-taken')),
    reason         TEXT NOT NULL,
    file_endpoint  TEXT NOT NULL,
    file_asset     TEXT NOT NULL,
    file_path      TEXT NOT NULL,
    -- None where it is gone; the same of the other side.
    file_revision  TEXT,
    file_size      INTEGER NOT NULL,
    asset_endpoint TEXT NOT NULL,
    asset_asset    TEXT NOT NULL,
    asset_path     TEXT NOT NULL,
    asset_revision TEXT,
    asset_size     INTEGER NOT NULL,
    -- When it was first met with just this question and these two revisions.
    since          INTEGER NOT NULL,
    -- How many passes have met it since then.
    passes         INTEGER NOT NULL,
    -- What was chosen about just these two revisions.
    resolution     TEXT CHECK (resolution IN ('take-file', 'take-asset', 'keep-both')),
    PRIMARY KEY (flow, subject)
) STRICT, WITHOUT ROWID;
