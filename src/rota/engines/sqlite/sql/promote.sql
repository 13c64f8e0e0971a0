-- due
UPDATE jobs SET state = 'pending'
WHERE seq IN (SELECT seq FROM jobs WHERE state = 'scheduled' AND run_at <= ? ORDER BY run_at, seq LIMIT ?)
RETURNING queue, type;

-- next
SELECT run_at FROM jobs WHERE state = 'scheduled' ORDER BY run_at, seq LIMIT 1;
