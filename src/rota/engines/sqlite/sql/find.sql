-- edge
SELECT {end}(seq) FROM (SELECT seq FROM jobs WHERE seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?);

-- range
SELECT {columns} FROM jobs NOT INDEXED WHERE seq BETWEEN ? AND ? AND {match} ORDER BY seq {order} LIMIT ?;

-- these
SELECT {columns} FROM jobs NOT INDEXED WHERE seq IN (SELECT value FROM json_each(?)) AND {match}
ORDER BY seq {order} LIMIT ?;

-- newest
SELECT max(seq) FROM jobs;

-- jobs
SELECT {columns} FROM jobs WHERE id IN (SELECT value FROM json_each(?));

-- body
SELECT b.payload, b.content_type, b.headers, r.result, r.content_type
FROM bodies AS b LEFT JOIN results AS r ON r.seq = b.seq WHERE b.seq = ?;

-- attempts
SELECT attempt, lease, worker, started_at, finished_at, end, error FROM attempts WHERE seq = ? ORDER BY lease;

-- error
-- Of a row of jobs: its last error.
SELECT a.error FROM attempts AS a WHERE a.seq = jobs.seq AND a.error IS NOT NULL ORDER BY a.lease DESC LIMIT 1;

-- short
-- Of a row of jobs: its payload, unless that is long. Longer ones are looked through, and handed over, singly.
SELECT CASE WHEN length(b.payload) <= 8192 THEN b.payload END FROM bodies AS b WHERE b.seq = jobs.seq;

-- may_hold
-- Of a row of jobs: its payload is JSON that may hold what is looked for.
SELECT 1 FROM bodies AS b WHERE b.seq = jobs.seq AND b.content_type IS NULL AND (length(b.payload) > 8192 OR {term});

-- inside
SELECT {payload}, {error} FROM jobs WHERE seq = ?;

-- payload
SELECT payload FROM bodies WHERE seq = ? AND content_type IS NULL;
