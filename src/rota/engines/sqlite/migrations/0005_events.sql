-- What happened to jobs, for those who are to get it (notes of the kind "feeds"). Numbers are never given twice.
CREATE TABLE events (
  n            INTEGER PRIMARY KEY AUTOINCREMENT,
  feed         TEXT NOT NULL,
  at           INTEGER NOT NULL,
  event        TEXT NOT NULL,
  id           TEXT NOT NULL,
  type         TEXT NOT NULL,
  queue        TEXT NOT NULL,
  state        TEXT NOT NULL,
  attempt      INTEGER,
  worker       TEXT,
  end          TEXT,
  reason       TEXT,
  result       BLOB,
  result_type  TEXT,
  result_bytes INTEGER,
  error        BLOB,
  error_bytes  INTEGER
) STRICT;

-- Who passes the events of a feed on, and how many were dropped because nobody did.
CREATE TABLE feeds (
  feed    TEXT PRIMARY KEY,
  owner   TEXT,
  until   INTEGER NOT NULL,
  dropped INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
