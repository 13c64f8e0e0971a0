-- chosen
SELECT seq, id, lease, queue, type, state FROM jobs
WHERE (state IN ('scheduled', 'pending') OR state = 'running' AND cancel_requested = 0) AND {match}
ORDER BY seq LIMIT ?;

-- end
UPDATE jobs
SET state = 'cancelled', reason = ?2, finished_at = ?3, delete_at = ?3 + retention,
    unique_held = CASE WHEN instr(unique_states, 'cancelled') THEN unique_held END
WHERE seq = ?1;

-- stop
UPDATE jobs SET cancel_requested = 1 WHERE seq = ?;
