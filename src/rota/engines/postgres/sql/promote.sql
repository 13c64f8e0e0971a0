-- due
WITH due AS MATERIALIZED (
  SELECT seq FROM rota.jobs WHERE state = 'scheduled' AND run_at <= $1 ORDER BY run_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED
), moved AS (
  UPDATE rota.jobs AS j SET state = 'pending', returned = true WHERE j.seq = ANY (ARRAY (SELECT seq FROM due)) RETURNING j.queue, j.type
), kinds AS (
  SELECT queue, type, count(*) AS jobs FROM moved GROUP BY queue, type
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT queue, type, s.state, s.sign * jobs
  FROM kinds CROSS JOIN (VALUES ('scheduled', -1), ('pending', 1)) AS s (state, sign)
)
SELECT queue, sum(jobs)::bigint FROM kinds GROUP BY queue;

-- next
SELECT run_at FROM rota.jobs WHERE state = 'scheduled' ORDER BY run_at, seq LIMIT 1;
