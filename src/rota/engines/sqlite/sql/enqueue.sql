-- job
INSERT INTO jobs (id, queue, type, state, priority, max_attempts, created_at, run_at, expires_at, timeout, retention,
                  retry, tags, unique_key, unique_states, unique_held)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
RETURNING id, seq;

-- body
INSERT INTO bodies (seq, payload, content_type, headers) VALUES (?, ?, ?, ?);

-- tag
INSERT INTO tags (tag, seq) VALUES (?, ?);

-- holder
SELECT id, state FROM jobs WHERE unique_held = ?;

-- state
SELECT state FROM jobs WHERE id = ?;

-- key
SELECT fingerprint, ids FROM keys WHERE key = ? AND until > ?;

-- keep_key
INSERT INTO keys (key, fingerprint, ids, until) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, ids = excluded.ids, until = excluded.until;

-- position
SELECT body FROM notes WHERE kind = ? AND key = ?;

-- keep_position
INSERT INTO notes (kind, key, body) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body;

-- forget_keys
DELETE FROM keys WHERE key IN (SELECT key FROM keys WHERE until <= ? LIMIT ?);
