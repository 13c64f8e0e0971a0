-- add
INSERT INTO ages (block, first_at, last_at) VALUES (?, ?, ?)
ON CONFLICT (block) DO UPDATE SET first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at);

-- between
SELECT min(block), max(block) FROM ages WHERE last_at >= ? AND first_at < ?;
