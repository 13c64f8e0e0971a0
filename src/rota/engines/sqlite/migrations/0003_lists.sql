-- Which blocks of 256 jobs, by age, hold jobs of a queue and type: an index that costs the enqueue next to nothing.
-- It may name a block that holds none any more, but never leaves one out.
CREATE TABLE kinds (
  queue TEXT NOT NULL,
  type  TEXT NOT NULL,
  block INTEGER NOT NULL,
  PRIMARY KEY (queue, type, block)
) STRICT, WITHOUT ROWID;
CREATE INDEX kinds_block ON kinds (block);
INSERT INTO kinds (queue, type, block) SELECT DISTINCT queue, type, seq >> 8 FROM jobs;

-- The times at which the jobs of a block of 4096 were stored, or wider: created_at need not follow age, as clocks are set.
CREATE TABLE ages (
  block    INTEGER PRIMARY KEY,
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL
) STRICT;
INSERT INTO ages (block, first_at, last_at) SELECT seq >> 12, min(created_at), max(created_at) FROM jobs GROUP BY 1;
