-- What happened to jobs, for those who are to get it (notes of the kind "feeds").
CREATE TABLE rota.events (
  n            bigint GENERATED ALWAYS AS IDENTITY,
  at           bigint NOT NULL,
  attempt      integer,
  result_bytes integer,
  error_bytes  integer,
  feed         text COLLATE "C" NOT NULL,
  event        text COLLATE "C" NOT NULL,
  id           text COLLATE "C" NOT NULL,
  type         text COLLATE "C" NOT NULL,
  queue        text COLLATE "C" NOT NULL,
  state        text COLLATE "C" NOT NULL,
  worker       text COLLATE "C",
  "end"        text COLLATE "C",
  reason       text COLLATE "C",
  result_type  text COLLATE "C",
  result       bytea,
  error        bytea,
  PRIMARY KEY (feed, n)
) WITH (
  toast_tuple_target = 256,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE rota.events ALTER COLUMN result SET STORAGE EXTERNAL, ALTER COLUMN error SET STORAGE EXTERNAL;

-- Who passes the events of a feed on, and how many were dropped because nobody did. Nothing is left up to the floor, nor
-- will anything come there. off_at: when it was found to be off.
CREATE TABLE rota.feeds (
  until   bigint NOT NULL,
  off_at  bigint,
  dropped bigint NOT NULL DEFAULT 0,
  floor   bigint NOT NULL DEFAULT 0,
  feed    text COLLATE "C" PRIMARY KEY,
  owner   text COLLATE "C"
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The feeds that are on. Whoever writes events reads this first, in the same statement: by the lock (which nobody ever
-- waits for) it can be told which transactions may still come with a number that was taken before a certain moment.
CREATE VIEW rota.feeding AS
SELECT f.key AS feed, f.wants -> 'events' AS events, (f.wants ->> 'result_bytes')::integer AS result_bytes,
       pg_advisory_xact_lock_shared(1377818154, -5) IS NULL AS held
FROM (SELECT key, convert_from(body, 'UTF8')::jsonb AS wants FROM rota.notes WHERE kind = 'feeds' OFFSET 0) AS f;
