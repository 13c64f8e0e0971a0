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
