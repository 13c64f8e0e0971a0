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
