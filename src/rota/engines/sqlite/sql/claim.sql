-- best
-- Each type gives its best; the best of these win. The inner list is an index range per type.
SELECT j.seq, j.id, j.lease + 1, j.type, j.queue, j.attempt + 1, j.max_attempts, b.payload, b.content_type, b.headers,
       j.timeout, j.run_at
FROM (
  SELECT c.seq
  FROM json_each(?1) AS t
  CROSS JOIN jobs AS c ON c.seq IN (
    SELECT p.seq FROM jobs AS p
    WHERE p.state = 'pending' AND p.queue = ?2 AND p.type = t.value
      AND (p.expires_at IS NULL OR p.expires_at > ?3)
    ORDER BY p.priority DESC, p.seq
    LIMIT ?4
  )
  ORDER BY c.priority DESC, c.seq
  LIMIT ?4
) AS best
CROSS JOIN jobs AS j ON j.seq = best.seq
CROSS JOIN bodies AS b ON b.seq = j.seq
ORDER BY j.priority DESC, j.seq;

-- these
SELECT j.seq, j.id, j.lease + 1, j.type, j.queue, j.attempt + 1, j.max_attempts, b.payload, b.content_type, b.headers,
       j.timeout, j.run_at
FROM json_each(?5) AS t
CROSS JOIN jobs AS j ON j.id = t.value
CROSS JOIN bodies AS b ON b.seq = j.seq
WHERE j.state = 'pending' AND j.queue = ?2 AND (j.expires_at IS NULL OR j.expires_at > ?3)
  AND j.type IN (SELECT value FROM json_each(?1))
ORDER BY j.priority DESC, j.seq
LIMIT ?4;

-- take
UPDATE jobs
SET state = 'running', attempt = attempt + 1, lease = lease + 1, started_at = ?, lease_until = ?, worker = ?,
    unique_held = CASE WHEN instr(unique_states, 'running') THEN unique_held END
WHERE seq = ?;
