-- ids
-- The signs keep SQLite from going through all jobs by age instead.
SELECT seq FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND +seq BETWEEN ? AND ? ORDER BY +seq {order} LIMIT ?;

-- holder
SELECT seq FROM jobs WHERE unique_held = ? AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- fingerprint
SELECT seq FROM jobs INDEXED BY jobs_failures WHERE fingerprint = ? AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- tag
SELECT seq FROM tags WHERE tag = ? AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- failed
-- The second condition is that of the index; SQLite does not see it in the first.
SELECT seq FROM jobs INDEXED BY jobs_unhappy
WHERE state = 'failed' AND state IN ('failed', 'cancelled') AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- cancelled
-- The second condition is that of the index; SQLite does not see it in the first.
SELECT seq FROM jobs INDEXED BY jobs_unhappy
WHERE state = 'cancelled' AND state IN ('failed', 'cancelled') AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- running
SELECT seq FROM jobs INDEXED BY jobs_running WHERE state = 'running' AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- pending
SELECT seq FROM jobs INDEXED BY jobs_pending WHERE state = 'pending' AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- scheduled
SELECT seq FROM jobs INDEXED BY jobs_scheduled WHERE state = 'scheduled' AND seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- tagged
SELECT count(*) FROM (SELECT 1 FROM tags WHERE tag = ? LIMIT ?);

-- tags
-- Every different tag: from one to the next, however many jobs have it.
WITH RECURSIVE names (tag) AS (
  SELECT min(tag) FROM tags
  UNION ALL
  SELECT (SELECT min(t.tag) FROM tags AS t WHERE t.tag > names.tag) FROM names WHERE names.tag IS NOT NULL
)
SELECT tag FROM names LIMIT ?;

-- begun
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE id >= ? AND id < ? LIMIT ?);

-- begins
SELECT seq FROM jobs WHERE id >= ? AND id < ? AND +seq BETWEEN ? AND ? ORDER BY +seq {order} LIMIT ?;

-- tried
SELECT DISTINCT seq FROM attempts WHERE seq BETWEEN ? AND ? ORDER BY seq {order} LIMIT ?;

-- tries
SELECT count(*) FROM (SELECT 1 FROM attempts LIMIT ?);
