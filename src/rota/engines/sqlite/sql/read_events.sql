-- hold
INSERT INTO feeds (feed, owner, until) VALUES (?1, ?2, ?3)
ON CONFLICT (feed) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE owner IS NULL OR owner = ?2 OR until <= ?4
RETURNING feed;

-- free
UPDATE feeds SET owner = NULL WHERE owner IS NOT NULL;

-- owner
SELECT until FROM feeds WHERE feed = ? AND owner = ?;

-- oldest
SELECT n, at, event, id, type, queue, state, attempt, worker, end, reason, result, result_type, result_bytes, error, error_bytes
FROM events WHERE feed = ? ORDER BY n LIMIT ?;
