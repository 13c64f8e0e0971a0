-- done
-- By id, and by nothing else: the sum of a state and nothing keeps the plan from going through the small index of running
-- jobs, which is full of dead entries as long as somebody holds an old transaction open.
WITH o AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::text[], $6::text[])
    WITH ORDINALITY AS o (id, lease, now, result, result_type, "end", n)
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'finished'
), ended AS (
  UPDATE rota.jobs AS j
  SET state = 'done', finished_at = o.now, delete_at = o.now + j.retention, lease_until = NULL, progress = NULL,
      unique_held = CASE WHEN strpos(j.unique_states, 'done') > 0 THEN j.unique_held END,
      result = o.result, result_type = o.result_type
  FROM o WHERE j.id = ANY (ARRAY[o.id]) AND j.lease = o.lease AND j.state || '' = 'running'
  RETURNING o.n, o.id, j.queue, j.type, j.attempt, j.worker, o.now, o."end", o.result_type, octet_length(o.result) AS result_bytes,
            CASE WHEN octet_length(o.result) <= (SELECT max(result_bytes) FROM feed) THEN o.result END AS result
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state, attempt, worker, "end", result, result_type, result_bytes)
  SELECT f.feed, e.now, 'finished', e.id, e.type, e.queue, 'done', e.attempt, e.worker, e."end",
         CASE WHEN e.result_bytes <= f.result_bytes THEN e.result END, e.result_type, e.result_bytes
  FROM feed AS f CROSS JOIN ended AS e
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT e.queue, e.type, s.state, s.sign * count(*)
  FROM ended AS e CROSS JOIN (VALUES ('running', -1), ('done', 1)) AS s (state, sign)
  GROUP BY e.queue, e.type, s.state, s.sign
)
SELECT n, queue, type, 'done' FROM ended;

-- otherwise
WITH o AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::text[],
                       $9::bytea[], $10::text[], $11::boolean[], $12::boolean[], $13::text[])
    WITH ORDINALITY AS o (id, lease, now, state, "end", run_at, result, result_type, error, reason, spent, lost, fingerprint, n)
), held AS MATERIALIZED (
  SELECT o.n, o.now, o."end", o.run_at, o.result, o.result_type, o.error, o.spent, o.lost, o.fingerprint, o.id, j.seq, j.queue, j.type,
         j.attempt, j.worker, j.started_at, j.lease,
         CASE WHEN j.cancel_requested AND o.state IN ('scheduled', 'pending') THEN 'cancelled' ELSE o.state END AS state,
         CASE WHEN j.cancel_requested AND o.state IN ('scheduled', 'pending') THEN coalesce(o.reason, 'cancelled')
              ELSE o.reason END AS reason
  FROM o JOIN rota.jobs AS j ON j.id = ANY (ARRAY[o.id])
  WHERE j.lease = o.lease AND j.state || '' = 'running'
  ORDER BY j.place FOR UPDATE OF j
), attempt AS (
  INSERT INTO rota.attempts (seq, lease, attempt, worker, started_at, finished_at, "end", error)
  SELECT seq, lease, attempt, worker, started_at, now, "end", error FROM held
), on_again AS (
  UPDATE rota.jobs AS j
  SET state = h.state, run_at = coalesce(h.run_at, h.now), attempt = j.attempt - (NOT h.spent)::integer,
      losses = j.losses + h.lost::integer, lease_until = NULL, started_at = NULL, worker = NULL, progress = NULL, returned = true
  FROM held AS h WHERE j.seq = ANY (ARRAY[h.seq]) AND h.state IN ('scheduled', 'pending')
), ended AS (
  UPDATE rota.jobs AS j
  SET state = h.state, reason = h.reason, attempt = j.attempt - (NOT h.spent)::integer, losses = j.losses + h.lost::integer,
      finished_at = h.now, delete_at = h.now + j.retention, lease_until = NULL,
      unique_held = CASE WHEN strpos(j.unique_states, h.state) > 0 THEN j.unique_held END,
      fingerprint = CASE WHEN h.state = 'failed' THEN h.fingerprint END, result = h.result, result_type = h.result_type
  FROM held AS h WHERE j.seq = ANY (ARRAY[h.seq]) AND h.state NOT IN ('scheduled', 'pending')
), feed AS MATERIALIZED (
  SELECT feed, events, result_bytes, held FROM rota.feeding WHERE events ?| '{requeued,finished}'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state, attempt, worker, "end", reason, result, result_type, result_bytes,
                           error, error_bytes)
  SELECT f.feed, h.now, h.event, h.id, h.type, h.queue, h.state, h.attempt, h.worker, h."end", h.reason,
         CASE WHEN octet_length(h.result) <= f.result_bytes THEN h.result END, h.result_type, octet_length(h.result),
         CASE WHEN octet_length(h.error) <= f.result_bytes THEN h.error END, octet_length(h.error)
  FROM feed AS f CROSS JOIN (
    SELECT id, type, queue, state, attempt, worker, "end", reason, now, error,
           CASE WHEN state IN ('scheduled', 'pending') THEN 'requeued' ELSE 'finished' END AS event,
           CASE WHEN state NOT IN ('scheduled', 'pending') THEN result END AS result,
           CASE WHEN state NOT IN ('scheduled', 'pending') THEN result_type END AS result_type
    FROM held
  ) AS h
  WHERE f.events ? h.event
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT queue, type, state, sum(jobs) FROM (
    SELECT queue, type, state, 1 AS jobs FROM held
    UNION ALL
    SELECT queue, type, 'running', -1 FROM held
  ) AS c GROUP BY queue, type, state
)
SELECT n, queue, type, state FROM held;

-- before
-- Of outcomes that do not apply any more: those that did, at just that time, and where they led.
SELECT o.n, j.queue, j.type, CASE WHEN j.lease = o.lease THEN j.state ELSE o.state END
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[])
  WITH ORDINALITY AS o (id, lease, at, "end", state, n)
JOIN rota.jobs AS j ON j.id = ANY (ARRAY[o.id])
LEFT JOIN rota.attempts AS a ON a.seq = ANY (ARRAY[j.seq]) AND a.lease = o.lease
WHERE (o."end" = 'done' AND j.lease = o.lease AND j.finished_at = o.at AND j.state || '' = 'done')
   OR (a."end" = o."end" AND a.finished_at = o.at);

-- back
-- Jobs get the age of ones that are stored now, with all that belongs to them.
WITH moved AS MATERIALIZED (
  SELECT j.seq AS old, nextval(pg_get_serial_sequence('rota.jobs', 'seq')) AS new
  FROM (SELECT j.seq FROM unnest($1::text[]) WITH ORDINALITY AS i (id, n) JOIN rota.jobs AS j ON j.id = ANY (ARRAY[i.id]) ORDER BY i.n) AS j
), job AS (
  UPDATE rota.jobs AS j SET seq = m.new, returned = false FROM moved AS m WHERE j.seq = ANY (ARRAY[m.old])
  RETURNING j.seq, j.queue, j.type, j.created_at
), attempt AS (
  UPDATE rota.attempts AS a SET seq = m.new FROM moved AS m WHERE a.seq = ANY (ARRAY[m.old])
), line AS (
  UPDATE rota.logs AS l SET seq = m.new FROM moved AS m WHERE l.seq = ANY (ARRAY[m.old])
), tag AS (
  UPDATE rota.tags AS t SET seq = m.new FROM moved AS m WHERE t.seq = ANY (ARRAY[m.old])
), kind AS (
  INSERT INTO rota.kinds (queue, type, block)
  SELECT DISTINCT queue, type, seq >> 8 AS block FROM job ORDER BY queue, type, block ON CONFLICT DO NOTHING
)
INSERT INTO rota.ages (minute, block)
SELECT DISTINCT created_at / 60000000 AS minute, seq >> 12 AS block FROM job ORDER BY minute, block ON CONFLICT DO NOTHING;
