-- read
SELECT queue, type, state, jobs FROM counts WHERE jobs > 0;

-- add
INSERT INTO counts (queue, type, state, jobs) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (queue, type, state) DO UPDATE SET jobs = jobs + ?4;

-- oldest
-- The oldest of each priority in turn: one index step each.
SELECT priority, run_at FROM jobs
WHERE state = 'pending' AND queue = ? AND type = ? AND priority < ?
ORDER BY priority DESC, seq LIMIT 1;
