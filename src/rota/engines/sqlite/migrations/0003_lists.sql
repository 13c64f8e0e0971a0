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
