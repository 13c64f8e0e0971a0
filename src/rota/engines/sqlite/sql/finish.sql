-- done
UPDATE jobs
SET state = 'done', finished_at = ?1, delete_at = ?1 + retention, lease_until = NULL, progress = NULL,
    unique_held = CASE WHEN instr(unique_states, 'done') THEN unique_held END
WHERE id = ?2 AND lease = ?3 AND state = 'running'
RETURNING seq, id, lease, queue, type, attempt, worker;

-- result
INSERT INTO results (seq, result, content_type) VALUES (?, ?, ?)
ON CONFLICT (seq) DO UPDATE SET result = excluded.result, content_type = excluded.content_type;

-- running
SELECT seq, id, lease, queue, type, attempt, worker, started_at, cancel_requested
FROM jobs WHERE id = ? AND lease = ? AND state = 'running';

-- attempt
INSERT INTO attempts (seq, lease, attempt, worker, started_at, finished_at, end, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- go_on
UPDATE jobs
SET state = ?, run_at = ?, attempt = attempt - ?, losses = losses + ?, lease_until = NULL, started_at = NULL,
    worker = NULL, progress = NULL
WHERE seq = ?;

-- end
UPDATE jobs
SET state = ?2, reason = ?3, attempt = attempt - ?4, losses = losses + ?5, finished_at = ?6, delete_at = ?6 + retention,
    lease_until = NULL, unique_held = CASE WHEN instr(unique_states, ?2) THEN unique_held END, fingerprint = ?7
WHERE seq = ?1;

-- last
SELECT max(seq) FROM jobs;

-- move_jobs
UPDATE jobs SET seq = ? WHERE seq = ? RETURNING created_at;

-- move_bodies
UPDATE bodies SET seq = ? WHERE seq = ?;

-- move_results
UPDATE results SET seq = ? WHERE seq = ?;

-- move_attempts
UPDATE attempts SET seq = ? WHERE seq = ?;

-- move_logs
UPDATE logs SET seq = ? WHERE seq = ?;

-- move_tags
UPDATE tags SET seq = ? WHERE seq = ?;
