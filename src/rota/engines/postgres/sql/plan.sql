-- ids
SELECT seq FROM (
  SELECT seq FROM rota.jobs WHERE id = ANY ($1::text[]) OFFSET 0
) AS jobs WHERE seq BETWEEN $2 AND $3 ORDER BY seq {order} LIMIT $4;

-- holder
SELECT seq FROM (
  SELECT seq FROM rota.jobs WHERE unique_held = $1 OFFSET 0
) AS jobs WHERE seq BETWEEN $2 AND $3 ORDER BY seq {order} LIMIT $4;

-- fingerprint
SELECT place FROM rota.jobs WHERE fingerprint = $1 AND place BETWEEN $2 AND $3 ORDER BY place {order} LIMIT $4;

-- tag
SELECT seq FROM rota.tags WHERE tag = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq {order} LIMIT $4;

-- failed
SELECT place FROM rota.jobs WHERE state = 'failed' AND place BETWEEN $1 AND $2 ORDER BY place {order} LIMIT $3;

-- cancelled
SELECT place FROM rota.jobs WHERE state = 'cancelled' AND place BETWEEN $1 AND $2 ORDER BY place {order} LIMIT $3;

-- running
SELECT place FROM rota.jobs WHERE state = 'running' AND place BETWEEN $1 AND $2 ORDER BY place {order} LIMIT $3;

-- tagged
SELECT count(*) FROM (SELECT 1 FROM rota.tags WHERE tag = $1 LIMIT $2) AS few;

-- tags
-- Every different tag: from one to the next, however many jobs have it.
WITH RECURSIVE names (tag) AS (
  (SELECT tag FROM rota.tags ORDER BY tag LIMIT 1)
  UNION ALL
  SELECT (SELECT t.tag FROM rota.tags AS t WHERE t.tag > names.tag ORDER BY t.tag LIMIT 1) FROM names WHERE names.tag IS NOT NULL
)
SELECT tag FROM names WHERE tag IS NOT NULL LIMIT $1;

-- begun
SELECT count(*) FROM (SELECT 1 FROM rota.jobs WHERE id >= $1 AND id < $2 LIMIT $3) AS few;

-- begins
SELECT seq FROM (
  SELECT seq FROM rota.jobs WHERE id >= $1 AND id < $2 ORDER BY id OFFSET 0
) AS jobs WHERE seq BETWEEN $3 AND $4 ORDER BY seq {order} LIMIT $5;

-- scheduled
SELECT place FROM rota.jobs WHERE state = 'scheduled' AND place BETWEEN $1 AND $2 ORDER BY place {order} LIMIT $3;

-- pending
-- Each lane of these queues and types, or of all, gives its next ones.
SELECT p.place FROM rota.lanes AS l CROSS JOIN LATERAL (
  (SELECT j.place FROM rota.jobs AS j
   WHERE j.state = 'pending' AND NOT j.returned AND j.queue = l.queue AND j.type = l.type AND j.priority = l.priority
     AND j.place BETWEEN $3 AND $4
   ORDER BY j.place {order} LIMIT $5)
  UNION ALL
  (SELECT j.place FROM rota.jobs AS j
   WHERE j.state = 'pending' AND j.returned AND j.queue = l.queue AND j.type = l.type AND j.priority = l.priority
     AND j.place BETWEEN $3 AND $4
   ORDER BY j.place {order} LIMIT $5)
) AS p
WHERE ($1::text[] IS NULL OR l.queue = ANY ($1)) AND ($2::text[] IS NULL OR l.type = ANY ($2))
ORDER BY p.place {order} LIMIT $5;

-- sorted
SELECT place FROM (
  (SELECT place FROM rota.jobs WHERE state = 'pending' AND NOT returned OFFSET 0)
  UNION ALL
  (SELECT place FROM rota.jobs WHERE state = 'pending' AND returned OFFSET 0)
) AS jobs WHERE place BETWEEN $1 AND $2 ORDER BY place {order} LIMIT $3;

-- tried
SELECT DISTINCT seq FROM rota.attempts WHERE seq BETWEEN $1 AND $2 ORDER BY seq {order} LIMIT $3;

-- tries
SELECT count(*) FROM (SELECT 1 FROM rota.attempts LIMIT $1) AS few;
