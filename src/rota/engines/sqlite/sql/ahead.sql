-- place
SELECT id, seq, queue, priority FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND state = 'pending';

-- before
-- Two index ranges per type: better priorities, and older jobs of the same one.
SELECT type, count(*) FROM (
  SELECT type FROM (
    SELECT p.type FROM json_each(?1) AS t
    CROSS JOIN jobs AS p
    WHERE p.state = 'pending' AND p.queue = ?2 AND p.type = t.value AND p.priority > ?3
      AND (p.expires_at IS NULL OR p.expires_at > ?5)
    UNION ALL
    SELECT p.type FROM json_each(?1) AS t
    CROSS JOIN jobs AS p
    WHERE p.state = 'pending' AND p.queue = ?2 AND p.type = t.value AND p.priority = ?3 AND p.seq < ?4
      AND (p.expires_at IS NULL OR p.expires_at > ?5)
  )
  LIMIT ?6
)
GROUP BY type;
