-- jobs
-- Whether a pending job has come back is only known to engines that keep the two apart; this is how one can see it.
SELECT j.seq, j.id, j.queue, j.type, j.state, j.priority, j.attempt, j.max_attempts, j.lease, j.losses, j.created_at, j.run_at,
       j.started_at, j.finished_at, j.expires_at, j.lease_until, j.delete_at, j.timeout, j.retention, j.retry, j.unique_key,
       j.unique_states, j.unique_held, j.worker, j.reason, j.progress, j.fingerprint, b.payload, b.content_type, b.headers,
       r.result, r.content_type, j.tags, j.cancel_requested, j.lease > 0 OR j.run_at > j.created_at
FROM jobs AS j JOIN bodies AS b ON b.seq = j.seq LEFT JOIN results AS r ON r.seq = j.seq
ORDER BY j.seq;

-- attempts
SELECT seq, lease, attempt, worker, started_at, finished_at, end, error FROM attempts ORDER BY seq, lease;

-- logs
SELECT seq, n, at, level, text FROM logs ORDER BY seq, n;

-- keys
SELECT key, until, fingerprint, ids FROM keys ORDER BY key;

-- failures
SELECT fingerprint, queue, type, error, frame, message, job, jobs, first_seen, last_seen FROM failures ORDER BY fingerprint, queue;

-- failure_hours
SELECT fingerprint, queue, hour, jobs FROM failure_hours ORDER BY fingerprint, queue, hour;

-- notes
SELECT kind, key, body FROM notes WHERE kind NOT IN (SELECT value FROM json_each(?)) ORDER BY kind, key;

-- files
SELECT n, id, job, kind, lease, bytes, sha256 FROM files WHERE job IS NOT NULL ORDER BY n;

-- parts
SELECT p.file, p.n, p.data FROM parts AS p CROSS JOIN files AS f ON f.n = p.file WHERE f.job IS NOT NULL ORDER BY p.file, p.n;

-- held
-- What keeps a store from being a target: jobs, and keys for whose repeats it has the answers.
SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM keys WHERE until > ?);

-- names
-- Texts of jobs that have to be kept as they are, in one; the text for people; tags.
SELECT id, id || queue || type || state || coalesce(unique_key, '') || coalesce(unique_states, '') || coalesce(unique_held, '')
           || coalesce(worker, '') || coalesce(fingerprint, ''), coalesce(reason, ''), tags
FROM jobs;

-- other_names
SELECT 'idempotency key ' || key, key || ids FROM keys
UNION ALL SELECT 'note ' || kind || ' ' || key, kind || key FROM notes
UNION ALL SELECT 'group of failures ' || fingerprint, fingerprint || queue || type || job FROM failures
UNION ALL SELECT 'group of failures ' || fingerprint, fingerprint || queue FROM failure_hours
UNION ALL SELECT 'file of job ' || job, id || job || kind || coalesce(sha256, '') FROM files WHERE job IS NOT NULL
UNION ALL SELECT 'job ' || j.id, b.content_type FROM bodies AS b JOIN jobs AS j ON j.seq = b.seq WHERE b.content_type IS NOT NULL
UNION ALL SELECT 'job ' || j.id, r.content_type FROM results AS r JOIN jobs AS j ON j.seq = r.seq WHERE r.content_type IS NOT NULL
UNION ALL SELECT 'job ' || j.id, coalesce(a.worker, '') || a.end FROM attempts AS a JOIN jobs AS j ON j.seq = a.seq
UNION ALL SELECT 'job ' || j.id, l.level FROM logs AS l JOIN jobs AS j ON j.seq = l.seq WHERE l.level NOT IN ('debug', 'info', 'warning', 'error');

-- free_logs
SELECT text FROM logs;

-- free_failures
SELECT error || coalesce(frame, '') || message FROM failures;

-- too_large
-- Numbers of 32 bits elsewhere, texts that stand in indexes (?1 bytes at most), values in one piece (?2).
SELECT 'job ' || id || ': priority, attempt, max_attempts, lease or losses' FROM jobs
WHERE max(priority, attempt, max_attempts, lease, losses) > 2147483647 OR min(priority, attempt, max_attempts, lease, losses) < -2147483648
UNION ALL SELECT 'job ' || j.id || ': lease or number of an attempt' FROM attempts AS a JOIN jobs AS j ON j.seq = a.seq
WHERE max(a.lease, a.attempt) > 2147483647 OR min(a.lease, a.attempt) < -2147483648
UNION ALL SELECT 'job ' || j.id || ': number of a log line' FROM logs AS l JOIN jobs AS j ON j.seq = l.seq WHERE l.n NOT BETWEEN -2147483648 AND 2147483647
UNION ALL SELECT 'job ' || f.job || ': lease of its file' FROM files AS f WHERE f.lease NOT BETWEEN -2147483648 AND 2147483647
UNION ALL SELECT 'job ' || f.job || ': number of a part of its file' FROM parts AS p JOIN files AS f ON f.n = p.file WHERE p.n NOT BETWEEN -2147483648 AND 2147483647
UNION ALL SELECT 'job ' || id || ': id, queue and type, or unique key' FROM jobs
WHERE max(octet_length(id), octet_length(queue) + octet_length(type), coalesce(octet_length(unique_held), 0)) > ?1
UNION ALL SELECT 'job ' || j.id || ': a tag' FROM tags AS t JOIN jobs AS j ON j.seq = t.seq WHERE octet_length(t.tag) > ?1
UNION ALL SELECT 'idempotency key ' || substr(key, 1, 50) FROM keys WHERE octet_length(key) > ?1
UNION ALL SELECT 'note ' || kind || ' ' || substr(key, 1, 50) FROM notes WHERE octet_length(kind) + octet_length(key) > ?1
UNION ALL SELECT 'job ' || f.job || ': id of its file' FROM files AS f WHERE max(octet_length(id), octet_length(job) + octet_length(kind)) > ?1
UNION ALL SELECT 'job ' || j.id || ': payload' FROM bodies AS b JOIN jobs AS j ON j.seq = b.seq WHERE octet_length(b.payload) > ?2
UNION ALL SELECT 'job ' || j.id || ': result' FROM results AS r JOIN jobs AS j ON j.seq = r.seq WHERE octet_length(r.result) > ?2;

-- add_jobs
INSERT INTO jobs (seq, id, queue, type, state, priority, attempt, max_attempts, lease, losses, created_at, run_at, started_at,
                  finished_at, expires_at, lease_until, delete_at, timeout, retention, retry, unique_key, unique_states, unique_held,
                  worker, reason, progress, fingerprint, tags, cancel_requested)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- add_bodies
INSERT INTO bodies (seq, payload, content_type, headers) VALUES (?, ?, ?, ?);

-- add_results
INSERT INTO results (seq, result, content_type) VALUES (?, ?, ?);

-- add_attempts
INSERT INTO attempts (seq, lease, attempt, worker, started_at, finished_at, end, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- add_logs
INSERT INTO logs (seq, n, at, level, text) VALUES (?, ?, ?, ?, ?);

-- add_keys
INSERT INTO keys (key, until, fingerprint, ids) VALUES (?, ?, ?, ?);

-- add_failures
INSERT INTO failures (fingerprint, queue, type, error, frame, message, job, jobs, first_seen, last_seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- add_failure_hours
INSERT INTO failure_hours (fingerprint, queue, hour, jobs) VALUES (?, ?, ?, ?);

-- add_notes
INSERT INTO notes (kind, key, body) VALUES (?, ?, ?);

-- add_files
INSERT INTO files (n, id, job, kind, lease, bytes, sha256) VALUES (?, ?, ?, ?, ?, ?, ?);

-- add_parts
INSERT INTO parts (file, n, data) VALUES (?, ?, ?);

-- indexes
SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL;

-- make_tags
INSERT INTO tags (tag, seq) SELECT DISTINCT t.value, j.seq FROM jobs AS j CROSS JOIN json_each(j.tags) AS t WHERE j.tags IS NOT NULL;

-- make_counts
INSERT INTO counts (queue, type, state, jobs) SELECT queue, type, state, count(*) FROM jobs GROUP BY queue, type, state;

-- make_kinds
INSERT INTO kinds (queue, type, block) SELECT DISTINCT queue, type, seq >> 8 FROM jobs;

-- make_ages
INSERT INTO ages (block, first_at, last_at) SELECT seq >> 12, min(created_at), max(created_at) FROM jobs GROUP BY 1;

-- counts
SELECT queue, type, state, jobs FROM counts WHERE jobs <> 0;
