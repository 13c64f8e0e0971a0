-- chosen
SELECT seq, id, lease, queue, type, state, unique_key, unique_held, fingerprint FROM jobs
WHERE state IN ('scheduled', 'done', 'failed', 'cancelled') AND {match}
ORDER BY seq LIMIT ?;

-- keep_done
INSERT INTO attempts (seq, lease, attempt, worker, started_at, finished_at, end, error)
SELECT seq, lease, attempt, worker, started_at, finished_at, 'done', NULL FROM jobs WHERE seq = ? AND state = 'done';

-- again
UPDATE jobs
SET state = 'pending', run_at = ?2, expires_at = CASE WHEN expires_at > ?2 THEN expires_at END, max_attempts = max(max_attempts, attempt + 1),
    losses = CASE WHEN state = 'scheduled' THEN losses ELSE 0 END,
    unique_held = coalesce(unique_held, CASE WHEN state = 'scheduled' THEN NULL ELSE unique_key END),
    reason = NULL, progress = NULL, cancel_requested = 0, worker = NULL, started_at = NULL, finished_at = NULL,
    delete_at = NULL, fingerprint = NULL
WHERE seq = ?1;

-- drop_result
DELETE FROM results WHERE seq = ?;
