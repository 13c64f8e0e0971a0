-- Failed jobs by what they failed of. Jobs that failed before this belong to no group until they fail again.
ALTER TABLE jobs ADD COLUMN fingerprint TEXT;
CREATE INDEX jobs_failures ON jobs (fingerprint, seq) WHERE fingerprint IS NOT NULL;

-- A row per fingerprint and queue; jobs counts those that are failed now. Rows without any are forgotten after a day.
CREATE TABLE failures (
  fingerprint TEXT NOT NULL,
  queue       TEXT NOT NULL,
  type        TEXT NOT NULL,
  error       TEXT NOT NULL,
  frame       TEXT,
  message     TEXT NOT NULL,
  job         TEXT NOT NULL,
  jobs        INTEGER NOT NULL,
  first_seen  INTEGER NOT NULL,
  last_seen   INTEGER NOT NULL,
  PRIMARY KEY (fingerprint, queue)
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_seen ON failures (last_seen, fingerprint) WHERE jobs > 0;
CREATE INDEX failures_queue ON failures (queue, last_seen, fingerprint) WHERE jobs > 0;
CREATE INDEX failures_type ON failures (type, last_seen, fingerprint) WHERE jobs > 0;
CREATE INDEX failures_over ON failures (last_seen) WHERE jobs = 0;

-- How many failed in each hour (since 1970), whatever became of them.
CREATE TABLE failure_hours (
  fingerprint TEXT NOT NULL,
  queue       TEXT NOT NULL,
  hour        INTEGER NOT NULL,
  jobs        INTEGER NOT NULL,
  PRIMARY KEY (fingerprint, queue, hour)
) STRICT, WITHOUT ROWID;
