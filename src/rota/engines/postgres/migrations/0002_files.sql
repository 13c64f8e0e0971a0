-- Files of jobs, in parts, so that no transaction is long. A file without a job is being written or, dropped, waits to be swept.
CREATE TABLE rota.files (
  n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  bytes   bigint,
  lease   integer,                        -- under which an artifact was made
  dropped boolean NOT NULL DEFAULT false,
  id      text COLLATE "C" NOT NULL UNIQUE,
  job     text COLLATE "C",
  kind    text COLLATE "C",
  sha256  text COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
CREATE UNIQUE INDEX files_job ON rota.files (job, kind) WHERE job IS NOT NULL;
CREATE INDEX files_loose ON rota.files (dropped, n) WHERE job IS NULL;

CREATE TABLE rota.parts (
  file bigint NOT NULL,
  n    integer NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (file, n)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
-- What is stored is packed already.
ALTER TABLE rota.parts ALTER COLUMN data SET STORAGE EXTERNAL;
