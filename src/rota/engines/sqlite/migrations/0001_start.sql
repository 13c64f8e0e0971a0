-- Hot and narrow: what claims and finishes touch. Payloads live in bodies, so that a heartbeat never rewrites them.
CREATE TABLE jobs (
  seq              INTEGER PRIMARY KEY,   -- age
  id               TEXT NOT NULL UNIQUE,
  queue            TEXT NOT NULL,
  type             TEXT NOT NULL,
  state            TEXT NOT NULL,
  priority         INTEGER NOT NULL,
  attempt          INTEGER NOT NULL DEFAULT 0,
  max_attempts     INTEGER NOT NULL,
  lease            INTEGER NOT NULL DEFAULT 0,
  losses           INTEGER NOT NULL DEFAULT 0,
  created_at       INTEGER NOT NULL,
  run_at           INTEGER NOT NULL,
  started_at       INTEGER,
  finished_at      INTEGER,
  expires_at       INTEGER,
  lease_until      INTEGER,
  delete_at        INTEGER,
  timeout          INTEGER,
  retention        INTEGER NOT NULL,
  retry            BLOB,
  tags             TEXT,
  unique_key       TEXT,
  unique_states    TEXT,
  unique_held      TEXT,                  -- unique_key for as long as it holds
  worker           TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  reason           TEXT,
  progress         BLOB
) STRICT;

-- The claim order. One range per queue and type, so that types without a worker cost a claim nothing.
CREATE INDEX jobs_pending ON jobs (queue, type, priority DESC, seq) WHERE state = 'pending';
CREATE INDEX jobs_scheduled ON jobs (run_at, seq) WHERE state = 'scheduled';
-- By age, not by lease: every heartbeat would rewrite an index on lease_until.
CREATE INDEX jobs_running ON jobs (seq) WHERE state = 'running';
CREATE INDEX jobs_unhappy ON jobs (state, seq) WHERE state IN ('failed', 'cancelled');
CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL AND state IN ('scheduled', 'pending');
CREATE INDEX jobs_delete ON jobs (delete_at) WHERE delete_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_held) WHERE unique_held IS NOT NULL;

CREATE TABLE bodies (
  seq          INTEGER PRIMARY KEY,
  payload      BLOB NOT NULL,
  content_type TEXT,
  headers      BLOB
) STRICT;

CREATE TABLE results (
  seq          INTEGER PRIMARY KEY,
  result       BLOB NOT NULL,
  content_type TEXT
) STRICT;

-- Attempts that ended otherwise than in done; the last or present one is in jobs.
CREATE TABLE attempts (
  seq         INTEGER NOT NULL,
  lease       INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  worker      TEXT,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  end         TEXT NOT NULL,
  error       BLOB,
  PRIMARY KEY (seq, lease)
) STRICT, WITHOUT ROWID;

CREATE TABLE logs (
  seq   INTEGER NOT NULL,
  n     INTEGER NOT NULL,
  at    INTEGER NOT NULL,
  level TEXT NOT NULL,
  text  TEXT NOT NULL,
  PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
  tag TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_job ON tags (seq);

CREATE TABLE keys (
  key         TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  ids         TEXT NOT NULL,
  until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_until ON keys (until);

CREATE TABLE counts (
  queue TEXT NOT NULL,
  type  TEXT NOT NULL,
  state TEXT NOT NULL,
  jobs  INTEGER NOT NULL,
  PRIMARY KEY (queue, type, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
  kind TEXT NOT NULL,
  key  TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
