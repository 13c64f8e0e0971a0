-- edge
SELECT {end}(seq) FROM (SELECT seq FROM rota.jobs WHERE seq BETWEEN $1 AND $2 ORDER BY seq {order} LIMIT $3) AS piece;

-- range
-- OFFSET 0 keeps the condition outside: by age and by nothing else.
SELECT {columns} FROM (
  SELECT * FROM rota.jobs WHERE seq BETWEEN $1 AND $2 ORDER BY seq {order} OFFSET 0
) AS jobs WHERE {match} LIMIT $3;

-- tally
SELECT count(*) FROM (SELECT * FROM rota.jobs WHERE seq BETWEEN $1 AND $2 OFFSET 0) AS jobs WHERE {match};

-- these
SELECT {columns} FROM (SELECT * FROM rota.jobs WHERE seq = ANY ($1::bigint[]) OFFSET 0) AS jobs
WHERE {match} ORDER BY seq {order} LIMIT $2;

-- tally_these
SELECT count(*) FROM (SELECT * FROM rota.jobs WHERE seq = ANY ($1::bigint[]) OFFSET 0) AS jobs WHERE {match};

-- newest
SELECT max(seq) FROM rota.jobs;

-- jobs
-- Whole, with their attempts as arrays: one statement, one moment.
SELECT {columns}, jobs.payload, jobs.content_type, jobs.headers, jobs.result, jobs.result_type,
       a.attempts, a.leases, a.workers, a.starts, a.ends, a.words, a.errors
FROM rota.jobs AS jobs
LEFT JOIN LATERAL (
  SELECT array_agg(attempt ORDER BY lease) AS attempts, array_agg(lease ORDER BY lease) AS leases,
         array_agg(worker ORDER BY lease) AS workers, array_agg(started_at ORDER BY lease) AS starts,
         array_agg(finished_at ORDER BY lease) AS ends, array_agg("end" ORDER BY lease) AS words,
         array_agg(error ORDER BY lease) AS errors
  FROM rota.attempts AS t WHERE t.seq = jobs.seq
) AS a ON true
WHERE jobs.id = ANY ($1::text[]);

-- held
-- Nobody changes these any more before the end of the transaction.
SELECT seq FROM rota.jobs AS jobs WHERE {match} AND seq > $1 ORDER BY seq LIMIT $2 FOR UPDATE;

-- inside
SELECT jobs.seq, jobs.id, {payload}, {error} FROM rota.jobs AS jobs WHERE jobs.seq = ANY ($1::bigint[]) ORDER BY jobs.seq;

-- payload
SELECT payload FROM rota.jobs WHERE seq = $1;

-- error
-- Of a row of jobs: its last error.
SELECT a.error FROM rota.attempts AS a WHERE a.seq = jobs.seq AND a.error IS NOT NULL ORDER BY a.lease DESC LIMIT 1;

-- short
-- Of a row of jobs: its payload, unless that is long. Longer ones are looked through, and handed over, singly.
SELECT CASE WHEN length(jobs.payload) <= 8192 THEN jobs.payload END;

-- may_hold
-- Of a row of jobs: its payload is JSON that may hold what is looked for.
SELECT jobs.content_type IS NULL AND (length(jobs.payload) > 8192 OR {term});
