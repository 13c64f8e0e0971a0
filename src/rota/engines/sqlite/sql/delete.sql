-- chosen
SELECT seq, id, lease, queue, type, state, fingerprint FROM jobs
WHERE state <> 'running' AND {match}
ORDER BY seq LIMIT ?;

-- jobs
DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(?));

-- bodies
DELETE FROM bodies WHERE seq IN (SELECT value FROM json_each(?));

-- results
DELETE FROM results WHERE seq IN (SELECT value FROM json_each(?));

-- attempts
DELETE FROM attempts WHERE seq IN (SELECT value FROM json_each(?));

-- logs
DELETE FROM logs WHERE seq IN (SELECT value FROM json_each(?));

-- tags
DELETE FROM tags WHERE (tag, seq) IN (SELECT t.tag, t.seq FROM json_each(?) AS v CROSS JOIN tags AS t ON t.seq = v.value);

-- files
UPDATE files SET job = NULL, dropped = 1 WHERE job IN (SELECT value FROM json_each(?));
