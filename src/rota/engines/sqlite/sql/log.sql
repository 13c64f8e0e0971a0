-- last
SELECT j.seq, coalesce((SELECT max(n) FROM logs AS l WHERE l.seq = j.seq), 0) FROM jobs AS j WHERE j.id = ?;

-- line
INSERT INTO logs (seq, n, at, level, text) VALUES (?, ?, ?, ?, ?);

-- read
SELECT l.n, l.at, l.level, l.text FROM jobs AS j CROSS JOIN logs AS l ON l.seq = j.seq
WHERE j.id = ? AND l.n > ? ORDER BY l.n LIMIT ?;
