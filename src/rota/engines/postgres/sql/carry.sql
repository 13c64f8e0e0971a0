-- prepare
-- Whoever reads or writes a million rows takes the time it takes; what is gone is noticed all the same.
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '10s';
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL client_connection_check_interval = '1s';
SET LOCAL tcp_keepalives_idle = 30;
SET LOCAL tcp_keepalives_interval = 10;
SET LOCAL tcp_keepalives_count = 3;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL jit = off

-- walking
-- Batch by batch along the keys, whatever is known of a table that has just been filled.
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off; SET LOCAL enable_sort = off

-- gathering
SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_hashjoin = on;
SET LOCAL enable_mergejoin = on; SET LOCAL enable_sort = on

-- turn
-- One move at a time; servers that open the store try the same lock, shared.
SELECT pg_try_advisory_xact_lock($1::integer, -3);

-- free
-- No move is at work.
SELECT pg_try_advisory_xact_lock_shared($1::integer, -3);

-- mover
SELECT l.pid FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' AND l.objsubid = 2
  AND l.classid = (($1::bigint + 4294967296) % 4294967296)::oid AND l.objid = 4294967293::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- others
-- Connections of servers and workers, and how often they had something to do.
SELECT pid, query_start, state_change FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ANY ($1::text[]) AND pid <> pg_backend_pid();

-- signs
SELECT key, md5(body) FROM rota.notes WHERE kind = 'servers';

-- tables
SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'rota' AND c.relkind = 'r' AND c.relname <> 'migrations' ORDER BY c.relname;

-- held
-- What keeps a store from being a target: jobs, and keys for whose repeats it has the answers.
SELECT (SELECT count(*) FROM rota.jobs), (SELECT count(*) FROM rota.keys WHERE until > $1);

-- make_tags
INSERT INTO rota.tags (tag, seq)
SELECT DISTINCT t.tag, j.seq FROM rota.jobs AS j CROSS JOIN unnest(j.tags) AS t (tag) WHERE j.tags IS NOT NULL;

-- make_counts
INSERT INTO rota.counts (queue, type, state, jobs)
SELECT queue, type, state, count(*) FROM rota.jobs GROUP BY queue, type, state;

-- make_lanes
INSERT INTO rota.lanes (queue, type, priority) SELECT DISTINCT queue, type, priority FROM rota.jobs;

-- make_kinds
INSERT INTO rota.kinds (queue, type, block) SELECT DISTINCT queue, type, seq >> 8 FROM rota.jobs;

-- make_ages
INSERT INTO rota.ages (minute, block) SELECT DISTINCT created_at / 60000000, seq >> 12 FROM rota.jobs;

-- next_jobs
-- Never back: a sequence keeps what it was told even if the rest is undone.
SELECT setval(s.name, greatest(m.last, nextval(s.name)))
FROM (SELECT pg_get_serial_sequence('rota.jobs', 'seq') AS name) AS s, (SELECT max(seq) AS last FROM rota.jobs) AS m;

-- next_files
SELECT setval(s.name, greatest(m.last, nextval(s.name)))
FROM (SELECT pg_get_serial_sequence('rota.files', 'n') AS name) AS s, (SELECT max(n) AS last FROM rota.files) AS m;

-- counts
SELECT queue, type, state, jobs FROM rota.counts WHERE jobs <> 0;
