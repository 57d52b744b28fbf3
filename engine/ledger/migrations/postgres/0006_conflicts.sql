-- What two sides disagree about, until somebody chose and a pass carried it out, or it is over.

-- One row for each pair of a flow that waits: what the last pass found on both sides, and what was chosen about it.
CREATE TABLE conflict (
    flow           TEXT COLLATE "C" NOT NULL,
    -- The file's id, or the asset's where there is no file.
    subject        TEXT COLLATE "C" NOT NULL,
    question       TEXT COLLATE "C" NOT NULL
                   CHECK (question IN ('both-changed', 'proposed', 'removed-and-changed', 'place-taken')),
    reason         TEXT COLLATE "C" NOT NULL,
    file_endpoint  TEXT COLLATE "C" NOT NULL,
    file_asset     TEXT COLLATE "C" NOT NULL,
    file_path      TEXT COLLATE "C" NOT NULL,
    -- None where it is gone; the same of the other side.
    file_revision  TEXT COLLATE "C",
    file_size      BIGINT NOT NULL,
    asset_endpoint TEXT COLLATE "C" NOT NULL,
    asset_asset    TEXT COLLATE "C" NOT NULL,
    asset_path     TEXT COLLATE "C" NOT NULL,
    asset_revision TEXT COLLATE "C",
    asset_size     BIGINT NOT NULL,
    -- When it was first met with just this question and these two revisions.
    since          BIGINT NOT NULL,
    -- How many passes have met it since then.
    passes         BIGINT NOT NULL,
    -- What was chosen about just these two revisions.
    resolution     TEXT COLLATE "C" CHECK (resolution IN ('take-file', 'take-asset', 'keep-both')),
    PRIMARY KEY (flow, subject)
);
