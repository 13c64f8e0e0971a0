-- state_counts
SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state;

-- wrong_count
-- What the counters say against what is there; each side alone counts as zero on the other.
SELECT queue || ' ' || type || ' ' || state || ': ' || sum(said) || ' instead of ' || sum(there) FROM (
  SELECT queue, type, state, jobs AS said, 0 AS there FROM counts
  UNION ALL
  SELECT queue, type, state, 0, count(*) FROM jobs GROUP BY queue, type, state
)
GROUP BY queue, type, state HAVING sum(said) <> sum(there);

-- job_without_body
SELECT id FROM jobs WHERE NOT EXISTS (SELECT 1 FROM bodies WHERE bodies.seq = jobs.seq);

-- body_without_job
SELECT 'seq ' || seq FROM bodies WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.seq = bodies.seq);

-- result_without_job
SELECT 'seq ' || seq FROM results WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.seq = results.seq);

-- attempt_without_job
SELECT 'seq ' || seq FROM attempts WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.seq = attempts.seq);

-- log_without_job
SELECT 'seq ' || seq FROM logs WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.seq = logs.seq);

-- tag_without_job
SELECT 'seq ' || seq FROM tags WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.seq = tags.seq);

-- wrong_tags
SELECT id FROM jobs
WHERE coalesce(json_array_length(tags), 0) <> (SELECT count(*) FROM tags WHERE tags.seq = jobs.seq)
   OR EXISTS (
     SELECT 1 FROM json_each(jobs.tags) AS t
     WHERE NOT EXISTS (SELECT 1 FROM tags WHERE tags.tag = t.value AND tags.seq = jobs.seq)
   );

-- unknown_state
SELECT id || ': ' || state FROM jobs
WHERE state NOT IN ('scheduled', 'pending', 'running', 'done', 'failed', 'cancelled');

-- running_without_lease
SELECT id FROM jobs
WHERE state = 'running' AND (lease_until IS NULL OR worker IS NULL OR started_at IS NULL OR lease < 1 OR attempt < 1);

-- wrong_end
SELECT id FROM jobs
WHERE (state IN ('done', 'failed', 'cancelled')) <> (finished_at IS NOT NULL)
   OR (state IN ('done', 'failed', 'cancelled')) <> (delete_at IS NOT NULL);

-- wrong_unique_key
SELECT id FROM jobs WHERE unique_held IS NOT NULL AND unique_held IS NOT unique_key;

-- forget_counts
DELETE FROM counts;

-- recount
INSERT INTO counts (queue, type, state, jobs) SELECT queue, type, state, count(*) FROM jobs GROUP BY queue, type, state;

-- file_without_job
SELECT 'file ' || id FROM files WHERE job IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = files.job);

-- part_without_file
SELECT DISTINCT 'file number ' || file FROM parts WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.n = parts.file);

-- wrong_file
SELECT 'file ' || id FROM files
WHERE job IS NOT NULL
  AND (kind IS NULL OR kind NOT IN ('upload', 'artifact') OR (kind = 'artifact') <> (lease IS NOT NULL)
       OR sha256 IS NULL OR bytes IS NOT (SELECT sum(length(p.data)) FROM parts AS p WHERE p.file = files.n));

-- wrong_event
SELECT 'event ' || n FROM events
WHERE CASE event WHEN 'enqueued' THEN state NOT IN ('scheduled', 'pending') WHEN 'requeued' THEN state NOT IN ('scheduled', 'pending')
           WHEN 'started' THEN state <> 'running' WHEN 'finished' THEN state NOT IN ('done', 'failed', 'cancelled')
           WHEN 'deleted' THEN state = 'running' ELSE 1 END;

-- event_without_feed
SELECT 'event ' || n FROM events WHERE feed NOT IN (SELECT feed FROM feeds);
