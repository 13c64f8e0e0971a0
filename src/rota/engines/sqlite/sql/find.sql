-- page
SELECT {columns} FROM jobs WHERE {match} AND seq < ? ORDER BY seq DESC LIMIT ?;

-- jobs
SELECT {columns} FROM jobs WHERE id IN (SELECT value FROM json_each(?));

-- body
SELECT b.payload, b.content_type, b.headers, r.result, r.content_type
FROM bodies AS b LEFT JOIN results AS r ON r.seq = b.seq WHERE b.seq = ?;

-- attempts
SELECT attempt, lease, worker, started_at, finished_at, end, error FROM attempts WHERE seq = ? ORDER BY lease;
