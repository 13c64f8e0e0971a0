-- best
-- Each lane gives its best, the best of these are looked at in order, and those that nobody else takes at this moment
-- are ours. Here and elsewhere rows are reached by "key = ANY (ARRAY[value])": a plan for "key = value" that was made while
-- the table was empty comes from the other end, and goes through the whole table for each value when it is full.
-- $1 queues; $2-$5 lanes and their floors; $6 types, $7 types not wanted; $8 now; $9 how many, $10 how many to look at;
-- $11 worker, $12 now, $13 lease, for each of them.
WITH lane AS MATERIALIZED (
  SELECT DISTINCT q.n, l.queue, l.type, l.priority, coalesce(f.floor, 0) AS floor
  FROM unnest($1::text[]) WITH ORDINALITY AS q (queue, n)
  JOIN rota.lanes AS l ON l.queue = q.queue
  LEFT JOIN unnest($2::text[], $3::text[], $4::integer[], $5::bigint[]) AS f (queue, type, priority, floor)
    ON f.queue = l.queue AND f.type = l.type AND f.priority = l.priority
  WHERE ($6::text[] IS NULL OR l.type = ANY ($6)) AND l.type <> ALL ($7::text[])
    AND q.queue <> ALL (ARRAY (SELECT p.key FROM rota.notes AS p WHERE p.kind = 'paused'))
), best AS MATERIALIZED (
  SELECT lane.n, lane.priority, p.place
  FROM lane CROSS JOIN LATERAL (
    (SELECT j.place FROM rota.jobs AS j
     WHERE j.state = 'pending' AND NOT j.returned
       AND j.queue = lane.queue AND j.type = lane.type AND j.priority = lane.priority AND j.place > lane.floor
       AND (j.expires_at IS NULL OR j.expires_at > $8)
     ORDER BY j.place LIMIT $10)
    UNION ALL
    (SELECT j.place FROM rota.jobs AS j
     WHERE j.state = 'pending' AND j.returned
       AND j.queue = lane.queue AND j.type = lane.type AND j.priority = lane.priority
       AND (j.expires_at IS NULL OR j.expires_at > $8)
     ORDER BY j.place LIMIT $10)
  ) AS p
  ORDER BY lane.n, lane.priority DESC, p.place LIMIT $10
), mine AS MATERIALIZED (
  SELECT best.n, best.priority, j.seq
  FROM best JOIN rota.jobs AS j ON j.seq = ANY (ARRAY[best.place])
  WHERE j.state || '' = 'pending'
  ORDER BY best.n, best.priority DESC, best.place LIMIT $9
  FOR UPDATE OF j SKIP LOCKED
), slot AS (
  SELECT seq, (row_number() OVER (ORDER BY n, priority DESC, seq))::integer AS i FROM mine
), taken AS (
  UPDATE rota.jobs AS j
  SET state = 'running', attempt = j.attempt + 1, lease = j.lease + 1, worker = ($11::text[])[slot.i],
      started_at = ($12::bigint[])[slot.i], lease_until = ($13::bigint[])[slot.i],
      unique_held = CASE WHEN strpos(j.unique_states, 'running') > 0 THEN j.unique_held END
  FROM slot WHERE j.seq = ANY (ARRAY[slot.seq])
  RETURNING slot.i, j.*
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'started'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state, attempt, worker)
  SELECT f.feed, t.started_at, 'started', t.id, t.type, t.queue, 'running', t.attempt, t.worker
  FROM feed AS f CROSS JOIN taken AS t
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT t.queue, t.type, s.state, s.sign * count(*)
  FROM taken AS t CROSS JOIN (VALUES ('pending', -1), ('running', 1)) AS s (state, sign)
  GROUP BY t.queue, t.type, s.state, s.sign
)
SELECT seq, id, lease, type, queue, attempt, max_attempts, payload, content_type, headers, timeout, run_at, priority, returned,
       (SELECT count(*) FROM best) AS seen
FROM taken ORDER BY i;

-- these
-- $1 queues, $2 ids, $3 types, $4 types not wanted, $5 now, $6 how many; $7 worker, $8 lease.
WITH mine AS MATERIALIZED (
  SELECT q.n, j.priority, j.seq
  FROM unnest($1::text[]) WITH ORDINALITY AS q (queue, n)
  JOIN rota.jobs AS j ON j.queue = q.queue
  WHERE j.id = ANY ($2::text[]) AND j.state || '' = 'pending' AND (j.expires_at IS NULL OR j.expires_at > $5)
    AND ($3::text[] IS NULL OR j.type = ANY ($3)) AND j.type <> ALL ($4::text[])
    AND q.queue <> ALL (ARRAY (SELECT p.key FROM rota.notes AS p WHERE p.kind = 'paused'))
  ORDER BY q.n, j.priority DESC, j.seq LIMIT $6
  FOR UPDATE OF j SKIP LOCKED
), slot AS (
  SELECT seq, (row_number() OVER (ORDER BY n, priority DESC, seq))::integer AS i FROM mine
), taken AS (
  UPDATE rota.jobs AS j
  SET state = 'running', attempt = j.attempt + 1, lease = j.lease + 1, worker = $7, started_at = $5, lease_until = $8,
      unique_held = CASE WHEN strpos(j.unique_states, 'running') > 0 THEN j.unique_held END
  FROM slot WHERE j.seq = ANY (ARRAY[slot.seq])
  RETURNING slot.i, j.*
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'started'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state, attempt, worker)
  SELECT f.feed, t.started_at, 'started', t.id, t.type, t.queue, 'running', t.attempt, t.worker
  FROM feed AS f CROSS JOIN taken AS t
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT t.queue, t.type, s.state, s.sign * count(*)
  FROM taken AS t CROSS JOIN (VALUES ('pending', -1), ('running', 1)) AS s (state, sign)
  GROUP BY t.queue, t.type, s.state, s.sign
)
SELECT seq, id, lease, type, queue, attempt, max_attempts, payload, content_type, headers, timeout, run_at, priority, returned
FROM taken ORDER BY i;

-- before
-- What workers took at just this time: a claim whose commit nobody heard of.
SELECT j.seq, j.id, j.lease, j.type, j.queue, j.attempt, j.max_attempts, j.payload, j.content_type, j.headers, j.timeout, j.run_at,
       j.worker, j.started_at
FROM rota.jobs AS j
WHERE j.state = 'running' AND j.worker = ANY ($1::text[]) AND j.started_at = ANY ($2::bigint[]) AND j.lease_until = ANY ($3::bigint[])
ORDER BY j.priority DESC, j.place;

-- below
-- The first job below the floor of each lane that waits all the same: its commit came late.
SELECT f.n, (
  SELECT j.place FROM rota.jobs AS j
  WHERE j.state = 'pending' AND NOT j.returned
    AND j.queue = f.queue AND j.type = f.type AND j.priority = f.priority AND j.place <= f.floor
  ORDER BY j.place LIMIT 1)
FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[])
  WITH ORDINALITY AS f (queue, type, priority, floor, n);
