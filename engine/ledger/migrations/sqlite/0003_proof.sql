-- What proves afterwards what was done: which ledger this is, by what each run was decided, how long attempts took
-- and what exactly they placed; and the ways to ask for it.
PRAGMA user_version = 3;

-- One row: the name of this ledger. Copies keep it.
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id   TEXT NOT NULL
) STRICT;
INSERT INTO identity (only, id) SELECT 1, lower(hex(randomblob(16)));

-- JSON: version, endpoints, plugin with its digests, digest of the rules, digest of a reviewed plan.
ALTER TABLE run ADD COLUMN origin TEXT;

-- How long the last attempt took, in milliseconds.
ALTER TABLE step ADD COLUMN took INTEGER;

ALTER TABLE custody ADD COLUMN took INTEGER;
ALTER TABLE custody ADD COLUMN content_hash BLOB;
ALTER TABLE custody ADD COLUMN sink TEXT;
ALTER TABLE custody ADD COLUMN sink_revision TEXT;
ALTER TABLE custody ADD COLUMN draft_digest BLOB;

CREATE INDEX custody_run ON custody (run, event);
-- Steps are added in the order of paths, so this index grows at its end.
CREATE INDEX step_path ON step (run, path);
CREATE INDEX placement_sink ON placement (sink, sink_asset);
