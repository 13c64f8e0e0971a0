-- state_counts
SELECT state, count(*) FROM rota.jobs GROUP BY state ORDER BY state;

-- wrong_count
-- What the counters say against what is there; each side alone counts as zero on the other.
SELECT queue || ' ' || type || ' ' || state || ': ' || sum(said) || ' instead of ' || sum(there) FROM (
  SELECT queue, type, state, jobs AS said, 0 AS there FROM rota.counts
  UNION ALL
  SELECT queue, type, state, jobs, 0 FROM rota.changes
  UNION ALL
  SELECT queue, type, state, 0, count(*) FROM rota.jobs GROUP BY queue, type, state
) AS c
GROUP BY queue, type, state HAVING sum(said) <> sum(there);

-- attempt_without_job
SELECT 'seq ' || seq FROM rota.attempts AS a WHERE NOT EXISTS (SELECT 1 FROM rota.jobs AS j WHERE j.seq = a.seq);

-- log_without_job
SELECT 'seq ' || seq FROM rota.logs AS l WHERE NOT EXISTS (SELECT 1 FROM rota.jobs AS j WHERE j.seq = l.seq);

-- tag_without_job
SELECT 'seq ' || seq FROM rota.tags AS t WHERE NOT EXISTS (SELECT 1 FROM rota.jobs AS j WHERE j.seq = t.seq);

-- wrong_tags
SELECT id FROM rota.jobs AS j
WHERE coalesce(cardinality(tags), 0) <> (SELECT count(*) FROM rota.tags AS t WHERE t.seq = j.seq)
   OR EXISTS (
     SELECT 1 FROM unnest(j.tags) AS n (tag)
     WHERE NOT EXISTS (SELECT 1 FROM rota.tags AS t WHERE t.tag = n.tag AND t.seq = j.seq)
   );

-- unknown_state
SELECT id || ': ' || state FROM rota.jobs
WHERE state NOT IN ('scheduled', 'pending', 'running', 'done', 'failed', 'cancelled');

-- running_without_lease
SELECT id FROM rota.jobs
WHERE state = 'running' AND (lease_until IS NULL OR worker IS NULL OR started_at IS NULL OR lease < 1 OR attempt < 1);

-- wrong_end
SELECT id FROM rota.jobs
WHERE (state IN ('done', 'failed', 'cancelled')) <> (finished_at IS NOT NULL)
   OR (state IN ('done', 'failed', 'cancelled')) <> (delete_at IS NOT NULL);

-- wrong_unique_key
SELECT id FROM rota.jobs WHERE unique_held IS NOT NULL AND unique_held IS DISTINCT FROM unique_key;

-- wrong_lane
SELECT id FROM rota.jobs AS j
WHERE NOT EXISTS (SELECT 1 FROM rota.lanes AS l WHERE l.queue = j.queue AND l.type = j.type AND l.priority = j.priority);

-- wrong_kind
SELECT id FROM rota.jobs AS j
WHERE NOT EXISTS (SELECT 1 FROM rota.kinds AS k WHERE k.queue = j.queue AND k.type = j.type AND k.block = j.seq >> 8)
   OR NOT EXISTS (SELECT 1 FROM rota.ages AS a WHERE a.minute = j.created_at / 60000000 AND a.block = j.seq >> 12);

-- file_without_job
SELECT 'file ' || id FROM rota.files AS f
WHERE job IS NOT NULL AND NOT EXISTS (SELECT 1 FROM rota.jobs AS j WHERE j.id = f.job);

-- part_without_file
SELECT DISTINCT 'file number ' || file FROM rota.parts AS p WHERE NOT EXISTS (SELECT 1 FROM rota.files AS f WHERE f.n = p.file);

-- wrong_file
SELECT 'file ' || id FROM rota.files AS f
WHERE job IS NOT NULL
  AND (kind IS NULL OR kind NOT IN ('upload', 'artifact') OR (kind = 'artifact') <> (lease IS NOT NULL) OR sha256 IS NULL
       OR bytes IS DISTINCT FROM (SELECT sum(octet_length(p.data)) FROM rota.parts AS p WHERE p.file = f.n));

-- wrong_event
SELECT 'event ' || n FROM rota.events
WHERE CASE event WHEN 'enqueued' THEN state NOT IN ('scheduled', 'pending') WHEN 'requeued' THEN state NOT IN ('scheduled', 'pending')
           WHEN 'started' THEN state <> 'running' WHEN 'finished' THEN state NOT IN ('done', 'failed', 'cancelled')
           WHEN 'deleted' THEN state = 'running' ELSE true END;

-- event_without_feed
SELECT 'event ' || n FROM rota.events WHERE feed NOT IN (SELECT feed FROM rota.feeds);

-- forget_counts
WITH gone AS (DELETE FROM rota.changes) DELETE FROM rota.counts;

-- recount
INSERT INTO rota.counts (queue, type, state, jobs)
SELECT queue, type, state, count(*) FROM rota.jobs GROUP BY queue, type, state;
