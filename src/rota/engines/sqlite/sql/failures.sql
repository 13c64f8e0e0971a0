-- add
INSERT INTO failures (fingerprint, queue, type, error, frame, message, job, jobs, first_seen, last_seen)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (fingerprint, queue) DO UPDATE SET
  message = ?6, job = ?7, jobs = jobs + ?8, first_seen = min(first_seen, ?9), last_seen = max(last_seen, ?10);

-- gone
UPDATE failures SET jobs = jobs - ? WHERE fingerprint = ? AND queue = ?;

-- hour
INSERT INTO failure_hours (fingerprint, queue, hour, jobs) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (fingerprint, queue, hour) DO UPDATE SET jobs = jobs + ?4;

-- forget_hours
DELETE FROM failure_hours WHERE fingerprint = ? AND queue = ? AND hour <= ?;

-- over
SELECT fingerprint, queue FROM failures WHERE jobs = 0 AND last_seen < ? ORDER BY last_seen LIMIT 10;

-- forget
DELETE FROM failures WHERE fingerprint = ? AND queue = ?;

-- page
-- One row for each fingerprint: that of the queue where it was seen last, unless one queue is asked for.
SELECT f.fingerprint, f.queue, f.type, f.error, f.frame, f.message, f.last_seen,
       coalesce(
         (SELECT j.id FROM jobs AS j WHERE j.id = f.job AND j.fingerprint = f.fingerprint),
         (SELECT n.id FROM (SELECT j.id, j.queue FROM jobs AS j WHERE j.fingerprint = f.fingerprint
                            ORDER BY j.seq DESC LIMIT 1000) AS n WHERE n.queue = f.queue LIMIT 1))
FROM failures AS f
WHERE f.jobs > 0 AND {match} AND (f.last_seen, f.fingerprint) < (?, ?)
  AND (? OR NOT EXISTS (
    SELECT 1 FROM failures AS g
    WHERE g.fingerprint = f.fingerprint AND g.jobs > 0 AND (g.last_seen, g.queue) > (f.last_seen, f.queue)))
ORDER BY f.last_seen DESC, f.fingerprint DESC LIMIT ?;

-- sum
SELECT sum(jobs), min(first_seen) FROM failures WHERE fingerprint = ?1 AND (?2 IS NULL OR queue = ?2) AND jobs > 0;

-- hours
SELECT hour, sum(jobs) FROM failure_hours
WHERE fingerprint = ?1 AND (?2 IS NULL OR queue = ?2) AND hour > ?3 GROUP BY hour;
