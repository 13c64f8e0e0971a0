-- chosen
SELECT seq, id, lease, queue, type, state, unique_key, unique_held, fingerprint FROM rota.jobs AS jobs
WHERE state IN ('scheduled', 'done', 'failed', 'cancelled') AND {match}
ORDER BY seq LIMIT $1 FOR UPDATE;

-- again
WITH old AS MATERIALIZED (
  SELECT seq, id, queue, type, state, lease, attempt, worker, started_at, finished_at FROM rota.jobs WHERE seq = ANY ($1::bigint[])
), kept AS (
  INSERT INTO rota.attempts (seq, lease, attempt, worker, started_at, finished_at, "end", error)
  SELECT seq, lease, attempt, worker, started_at, finished_at, 'done', NULL FROM old WHERE state = 'done'
), moved AS (
  UPDATE rota.jobs AS j
  SET state = 'pending', returned = true, run_at = $2, expires_at = CASE WHEN j.expires_at > $2 THEN j.expires_at END,
      max_attempts = greatest(j.max_attempts, j.attempt + 1), losses = CASE WHEN j.state = 'scheduled' THEN j.losses ELSE 0 END,
      unique_held = coalesce(j.unique_held, CASE WHEN j.state = 'scheduled' THEN NULL ELSE j.unique_key END),
      reason = NULL, progress = NULL, cancel_requested = false, worker = NULL, started_at = NULL, finished_at = NULL,
      delete_at = NULL, fingerprint = NULL, result = NULL, result_type = NULL
  WHERE j.seq = ANY (ARRAY (SELECT seq FROM old))
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'requeued'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state)
  SELECT f.feed, $2, 'requeued', o.id, o.type, o.queue, 'pending' FROM feed AS f CROSS JOIN old AS o
)
INSERT INTO rota.changes (queue, type, state, jobs)
SELECT o.queue, o.type, s.state, sum(s.sign)
FROM old AS o CROSS JOIN LATERAL (VALUES (o.state, -1), ('pending', 1)) AS s (state, sign)
GROUP BY o.queue, o.type, s.state;

-- there
-- Locked, so that whoever is still at it has come to an end.
SELECT run_at FROM rota.jobs WHERE id = $1 FOR UPDATE;
