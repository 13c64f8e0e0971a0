-- before
-- For each of the jobs that are asked for: those of better lanes, and older ones of lanes of the same priority.
SELECT a.id, b.type, b.jobs
FROM (
  SELECT id, seq, queue, priority FROM rota.jobs WHERE id = ANY ($1::text[]) AND state || '' = 'pending'
) AS a
LEFT JOIN LATERAL (
  SELECT p.type, count(*) AS jobs FROM (
    SELECT l.type FROM (SELECT DISTINCT queue, type, priority FROM rota.lanes WHERE queue = a.queue) AS l
    CROSS JOIN LATERAL (
      (SELECT 1 FROM rota.jobs AS j
       WHERE j.state = 'pending' AND NOT j.returned AND j.queue = l.queue AND j.type = l.type AND j.priority = l.priority
         AND j.place < CASE WHEN l.priority = a.priority THEN a.seq ELSE 9223372036854775807 END
         AND (j.expires_at IS NULL OR j.expires_at > $3)
       ORDER BY j.place LIMIT $4)
      UNION ALL
      (SELECT 1 FROM rota.jobs AS j
       WHERE j.state = 'pending' AND j.returned AND j.queue = l.queue AND j.type = l.type AND j.priority = l.priority
         AND j.place < CASE WHEN l.priority = a.priority THEN a.seq ELSE 9223372036854775807 END
         AND (j.expires_at IS NULL OR j.expires_at > $3)
       ORDER BY j.place LIMIT $4)
    ) AS older
    WHERE l.queue = a.queue AND l.priority >= a.priority AND ($2::text[] IS NULL OR l.type = ANY ($2))
    LIMIT $4
  ) AS p GROUP BY p.type
) AS b ON true;
