-- add
WITH hour AS (
  INSERT INTO rota.failure_hours (fingerprint, queue, hour, jobs)
  SELECT h.fingerprint, h.queue, h.hour, h.jobs
  FROM unnest($11::text[], $12::text[], $13::bigint[], $14::bigint[]) AS h (fingerprint, queue, hour, jobs)
  ORDER BY h.fingerprint, h.queue, h.hour
  ON CONFLICT (fingerprint, queue, hour) DO UPDATE SET jobs = rota.failure_hours.jobs + excluded.jobs
)
INSERT INTO rota.failures AS f (fingerprint, queue, type, error, frame, message, job, jobs, first_seen, last_seen)
SELECT n.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                       $9::bigint[], $10::bigint[])
  AS n (fingerprint, queue, type, error, frame, message, job, jobs, first_seen, last_seen)
ORDER BY n.fingerprint, n.queue
ON CONFLICT (fingerprint, queue) DO UPDATE
SET message = excluded.message, job = excluded.job, jobs = f.jobs + excluded.jobs,
    first_seen = least(f.first_seen, excluded.first_seen), last_seen = greatest(f.last_seen, excluded.last_seen);

-- gone
WITH mine AS MATERIALIZED (
  SELECT f.fingerprint, f.queue, g.jobs
  FROM unnest($1::text[], $2::text[], $3::bigint[]) AS g (fingerprint, queue, jobs)
  JOIN rota.failures AS f ON f.fingerprint = ANY (ARRAY[g.fingerprint]) AND f.queue = g.queue
  ORDER BY f.fingerprint, f.queue FOR UPDATE OF f
)
UPDATE rota.failures AS f SET jobs = f.jobs - m.jobs FROM mine AS m WHERE f.fingerprint = ANY (ARRAY[m.fingerprint]) AND f.queue = m.queue;

-- forget
WITH over AS (
  DELETE FROM rota.failures WHERE (fingerprint, queue) IN (
    SELECT fingerprint, queue FROM rota.failures WHERE jobs = 0 AND last_seen < $1 ORDER BY last_seen LIMIT 1000
    FOR UPDATE SKIP LOCKED
  ) RETURNING fingerprint, queue
)
DELETE FROM rota.failure_hours AS h USING over AS o WHERE h.fingerprint = ANY (ARRAY[o.fingerprint]) AND h.queue = o.queue;

-- forget_hours
DELETE FROM rota.failure_hours WHERE hour <= $1;

-- page
-- One row for each fingerprint: that of the queue where it was seen last, unless one queue is asked for.
SELECT f.fingerprint, f.queue, f.type, f.error, f.frame, f.message, f.last_seen,
       coalesce(
         (SELECT j.id FROM rota.jobs AS j WHERE j.id = f.job AND j.fingerprint = f.fingerprint),
         (SELECT n.id FROM (SELECT j.id, j.queue FROM rota.jobs AS j WHERE j.fingerprint = f.fingerprint
                            ORDER BY j.place DESC LIMIT 1000) AS n WHERE n.queue = f.queue LIMIT 1)) AS job,
       s.jobs, s.first_seen, h.hours, h.counted
FROM (
  SELECT * FROM rota.failures AS f
  WHERE f.jobs > 0 AND ($1::text IS NULL OR f.queue = $1) AND ($2::text IS NULL OR f.type = $2)
    AND (f.last_seen, f.fingerprint) < ($3::bigint, $4::text)
    AND ($1::text IS NOT NULL OR NOT EXISTS (
      SELECT 1 FROM rota.failures AS g
      WHERE g.fingerprint = f.fingerprint AND g.jobs > 0 AND (g.last_seen, g.queue) > (f.last_seen, f.queue)))
  ORDER BY f.last_seen DESC, f.fingerprint DESC LIMIT $5
) AS f
CROSS JOIN LATERAL (
  SELECT sum(g.jobs)::bigint AS jobs, min(g.first_seen) AS first_seen FROM rota.failures AS g
  WHERE g.fingerprint = f.fingerprint AND ($1::text IS NULL OR g.queue = $1) AND g.jobs > 0
) AS s
CROSS JOIN LATERAL (
  SELECT array_agg(c.hour) AS hours, array_agg(c.jobs) AS counted FROM (
    SELECT hour, sum(jobs)::bigint AS jobs FROM rota.failure_hours AS c
    WHERE c.fingerprint = f.fingerprint AND ($1::text IS NULL OR c.queue = $1) AND c.hour > $6 GROUP BY hour
  ) AS c
) AS h
ORDER BY f.last_seen DESC, f.fingerprint DESC;
