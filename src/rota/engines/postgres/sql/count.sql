-- read
SELECT queue, type, state, sum(jobs)::bigint AS jobs FROM (
  SELECT queue, type, state, jobs FROM rota.counts
  UNION ALL
  SELECT queue, type, state, jobs FROM rota.changes WHERE n > $1
  UNION ALL
  SELECT queue, type, state, jobs FROM rota.changes WHERE n < 0
) AS c GROUP BY queue, type, state HAVING sum(jobs) > 0;

-- fold
-- One at a time, and nobody waits for it. Changes below zero are those of transactions of others, which may come late.
WITH turn AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock($1::integer, -1) AS mine
), gone AS (
  DELETE FROM rota.changes WHERE n = ANY (ARRAY (
    SELECT c.n FROM rota.changes AS c WHERE c.n > $2 AND (SELECT mine FROM turn) ORDER BY c.n LIMIT $3 FOR UPDATE SKIP LOCKED
  ))
  RETURNING n, queue, type, state, jobs
), late AS (
  DELETE FROM rota.changes WHERE n = ANY (ARRAY (
    SELECT c.n FROM rota.changes AS c WHERE c.n < 0 AND (SELECT mine FROM turn) ORDER BY c.n LIMIT $3 FOR UPDATE SKIP LOCKED
  ))
  RETURNING n, queue, type, state, jobs
), fold AS (
  INSERT INTO rota.counts (queue, type, state, jobs)
  SELECT queue, type, state, sum(jobs) FROM (SELECT * FROM gone UNION ALL SELECT * FROM late) AS c
  GROUP BY queue, type, state HAVING sum(jobs) <> 0 ORDER BY queue, type, state
  ON CONFLICT (queue, type, state) DO UPDATE SET jobs = rota.counts.jobs + excluded.jobs
)
-- The oldest transaction that may still write, and the next one to begin.
SELECT greatest(count(*), (SELECT count(*) FROM late)), max(n), pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM gone;

-- forget
DELETE FROM rota.counts WHERE jobs = 0;

-- oldest
-- The oldest of each lane: two index steps.
SELECT l.queue, min(p.run_at)
FROM rota.lanes AS l
LEFT JOIN unnest($2::text[], $3::text[], $4::integer[], $5::bigint[]) AS f (queue, type, priority, floor)
  ON f.queue = l.queue AND f.type = l.type AND f.priority = l.priority
CROSS JOIN LATERAL (
  SELECT o.run_at FROM (
    (SELECT j.run_at, j.place FROM rota.jobs AS j
     WHERE j.state = 'pending' AND NOT j.returned
       AND j.queue = l.queue AND j.type = l.type AND j.priority = l.priority AND j.place > coalesce(f.floor, 0)
     ORDER BY j.place LIMIT 1)
    UNION ALL
    (SELECT j.run_at, j.place FROM rota.jobs AS j
     WHERE j.state = 'pending' AND j.returned AND j.queue = l.queue AND j.type = l.type AND j.priority = l.priority
     ORDER BY j.place LIMIT 1)
  ) AS o ORDER BY o.place LIMIT 1
) AS p
WHERE l.queue = ANY ($1::text[])
GROUP BY l.queue;
