-- cancel
WITH chosen AS MATERIALIZED (
  SELECT seq, id, lease, queue, type, state FROM rota.jobs AS jobs
  WHERE (state IN ('scheduled', 'pending') OR state = 'running' AND NOT cancel_requested) AND {match}
  ORDER BY seq LIMIT $3 FOR UPDATE{skip}
), ended AS (
  UPDATE rota.jobs AS j
  SET state = 'cancelled', reason = $1, finished_at = $2, delete_at = $2 + j.retention,
      unique_held = CASE WHEN strpos(j.unique_states, 'cancelled') > 0 THEN j.unique_held END
  WHERE j.seq = ANY (ARRAY (SELECT seq FROM chosen WHERE state <> 'running'))
), stopped AS (
  UPDATE rota.jobs AS j SET cancel_requested = true WHERE j.seq = ANY (ARRAY (SELECT seq FROM chosen WHERE state = 'running'))
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'finished'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state, reason)
  SELECT f.feed, $2, 'finished', c.id, c.type, c.queue, 'cancelled', $1 FROM feed AS f CROSS JOIN chosen AS c WHERE c.state <> 'running'
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT c.queue, c.type, s.state, sum(s.sign)
  FROM chosen AS c CROSS JOIN LATERAL (VALUES (c.state, -1), ('cancelled', 1)) AS s (state, sign)
  WHERE c.state <> 'running'
  GROUP BY c.queue, c.type, s.state
)
SELECT id, lease, queue, type, state FROM chosen ORDER BY seq;

-- there
-- Locked, so that whoever is still at it has come to an end.
SELECT cancel_requested, CASE WHEN state = 'cancelled' THEN finished_at END FROM rota.jobs WHERE id = $1 FOR UPDATE;
