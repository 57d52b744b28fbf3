-- Where a content is at a sink, so that its bytes need not move again.
PRAGMA user_version = 4;

-- The folder or collection at the sink; empty for what older versions placed.
ALTER TABLE placement ADD COLUMN collection TEXT NOT NULL DEFAULT '';
-- 1: the asset was there for another source asset and only linked.
ALTER TABLE placement ADD COLUMN linked INTEGER NOT NULL DEFAULT 0;

-- By size first: whether a size is known is asked before anything is hashed. The step tells which was placed last, however
-- many there are of one content.
CREATE INDEX placement_content ON placement (sink, size, content_hash, step);
