-- Files of jobs, in parts, so that no transaction is long. A file without a job is being written or, dropped, waits to be swept.
CREATE TABLE files (
  n       INTEGER PRIMARY KEY,
  id      TEXT NOT NULL UNIQUE,
  job     TEXT,
  kind    TEXT,
  lease   INTEGER,                        -- under which an artifact was made
  bytes   INTEGER,
  sha256  TEXT,
  dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX files_job ON files (job, kind) WHERE job IS NOT NULL;
CREATE INDEX files_loose ON files (dropped, n) WHERE job IS NULL;

CREATE TABLE parts (
  file INTEGER NOT NULL,
  n    INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (file, n)
) STRICT;
