-- save
INSERT INTO notes (kind, key, body) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body;

-- feed
INSERT INTO feeds (feed, until) VALUES (?, 0) ON CONFLICT DO NOTHING;

-- remove
DELETE FROM notes WHERE kind = ? AND key = ?;

-- read
SELECT kind, key, body FROM notes WHERE kind = ? ORDER BY key;

-- range
SELECT kind, key, body FROM notes WHERE kind = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key LIMIT ?4;
