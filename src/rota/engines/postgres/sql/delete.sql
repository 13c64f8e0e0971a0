-- delete
WITH chosen AS MATERIALIZED (
  SELECT seq, id, lease, queue, type, state, fingerprint FROM rota.jobs AS jobs
  WHERE state <> 'running' AND {match}
  ORDER BY seq LIMIT $1 FOR UPDATE{skip}
), tag AS (
  DELETE FROM rota.tags AS t WHERE t.seq = ANY (ARRAY (SELECT seq FROM chosen))
), line AS (
  DELETE FROM rota.logs AS l WHERE l.seq = ANY (ARRAY (SELECT seq FROM chosen))
), attempt AS (
  DELETE FROM rota.attempts AS a WHERE a.seq = ANY (ARRAY (SELECT seq FROM chosen))
), file AS (
  UPDATE rota.files AS f SET job = NULL, dropped = true WHERE f.job = ANY (ARRAY (SELECT id FROM chosen))
), job AS (
  DELETE FROM rota.jobs AS j WHERE j.seq = ANY (ARRAY (SELECT seq FROM chosen))
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'deleted'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state)
  SELECT f.feed, $2::bigint, 'deleted', c.id, c.type, c.queue, c.state FROM feed AS f CROSS JOIN chosen AS c WHERE $2::bigint IS NOT NULL
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs) SELECT queue, type, state, -count(*) FROM chosen GROUP BY queue, type, state
)
SELECT id, lease, queue, type, state, fingerprint FROM chosen ORDER BY seq;

-- there
-- Locked, so that whoever is still at it has come to an end.
SELECT 1 FROM rota.jobs WHERE id = $1 FOR UPDATE;
