-- store
-- Lanes, kinds and ages are written with the jobs that need them; mostly they are there already.
WITH new AS (
  INSERT INTO rota.jobs (id, payload, created_at, run_at, queue, type, state, priority, max_attempts, expires_at, timeout,
                         retention, retry, tags, unique_key, unique_states, unique_held, content_type, headers)
  {source}
  ON CONFLICT (id) DO NOTHING
  RETURNING seq, id, queue, type, state, priority, created_at, tags
), lane AS (
  INSERT INTO rota.lanes (queue, type, priority)
  SELECT DISTINCT queue, type, priority FROM new ORDER BY queue, type, priority ON CONFLICT DO NOTHING
), kind AS (
  INSERT INTO rota.kinds (queue, type, block)
  SELECT DISTINCT queue, type, seq >> 8 AS block FROM new ORDER BY queue, type, block ON CONFLICT DO NOTHING
), age AS (
  INSERT INTO rota.ages (minute, block)
  SELECT DISTINCT created_at / 60000000 AS minute, seq >> 12 AS block FROM new ORDER BY minute, block ON CONFLICT DO NOTHING
), tag AS (
  INSERT INTO rota.tags (tag, seq)
  SELECT t.tag, new.seq FROM new CROSS JOIN unnest(new.tags) AS t (tag) WHERE new.tags IS NOT NULL ON CONFLICT DO NOTHING
), feed AS MATERIALIZED (
  SELECT feed, result_bytes, held FROM rota.feeding WHERE events ? 'enqueued'
), event AS (
  INSERT INTO rota.events (feed, at, event, id, type, queue, state)
  SELECT f.feed, new.created_at, 'enqueued', new.id, new.type, new.queue, new.state FROM feed AS f CROSS JOIN new
), change AS (
  INSERT INTO rota.changes (queue, type, state, jobs)
  SELECT queue, type, state, count(*) FROM new GROUP BY queue, type, state
)
SELECT count(*) FROM new;

-- alike
-- Jobs that differ in nothing but these four.
SELECT i.id, i.payload, i.created_at, i.run_at, $5::text, $6::text, $7::text, $8::integer, $9::integer, $10::bigint,
       $11::bigint, $12::bigint, $13::bytea, $14::text[], $15::text, $16::text, $17::text, $18::text, $19::bytea
FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[])
  WITH ORDINALITY AS i (id, payload, created_at, run_at, n)
ORDER BY i.n;

-- each
SELECT i.id, i.payload, i.created_at, i.run_at, i.queue, i.type, i.state, i.priority, i.max_attempts, i.expires_at, i.timeout,
       i.retention, i.retry, CASE WHEN i.tags <> '' THEN string_to_array(i.tags, chr(1)) END, i.unique_key, i.unique_states, i.unique_held,
       i.content_type, i.headers
FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::integer[],
            $9::integer[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bytea[], $14::text[], $15::text[], $16::text[],
            $17::text[], $18::text[], $19::bytea[])
  WITH ORDINALITY AS i (id, payload, created_at, run_at, queue, type, state, priority, max_attempts, expires_at, timeout,
                        retention, retry, tags, unique_key, unique_states, unique_held, content_type, headers, n)
ORDER BY i.n;

-- lock
-- Servers that use the same keys wait here, in order, so that nobody waits in a ring: keys share 1024 locks, for a call with
-- ten thousand of them must not take ten thousand. Transactions of others that stored jobs by rota.enqueue have a lock for each
-- key. They may take minutes, so nobody waits for those: their keys are the answer.
WITH held AS MATERIALIZED (
  SELECT pg_advisory_xact_lock($1::integer, b.bucket)
  FROM (SELECT DISTINCT (hashtextextended(k, 0) & 1023)::integer AS bucket FROM unnest($2::text[]) AS k ORDER BY bucket) AS b
)
SELECT k FROM (SELECT count(*) AS locks FROM held OFFSET 0) AS h CROSS JOIN unnest($2::text[]) AS k
WHERE h.locks > 0
  AND NOT CASE WHEN pg_try_advisory_lock_shared(hashtextextended(k, 7)) THEN pg_advisory_unlock_shared(hashtextextended(k, 7)) ELSE false END;

-- states
SELECT id, state FROM rota.jobs WHERE id = ANY ($1::text[]);

-- holders
SELECT unique_held, id, state FROM rota.jobs WHERE unique_held = ANY ($1::text[]);

-- keys
SELECT key, fingerprint, ids FROM rota.keys WHERE key = ANY ($1::text[]) AND until > $2;

-- keep_keys
INSERT INTO rota.keys (key, fingerprint, ids, until)
SELECT k.key, k.fingerprint, string_to_array(k.ids, ' '), $4
FROM unnest($1::text[], $2::bytea[], $3::text[]) AS k (key, fingerprint, ids)
ORDER BY k.key
ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, ids = excluded.ids, until = excluded.until;

-- positions
SELECT key, body FROM rota.notes WHERE kind = $1 AND key = ANY ($2::text[]);

-- keep_positions
INSERT INTO rota.notes (kind, key, body)
SELECT $1, p.key, p.body FROM unnest($2::text[], $3::bytea[]) AS p (key, body) ORDER BY p.key
ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body;

-- forget_keys
DELETE FROM rota.keys
WHERE key = ANY (ARRAY (SELECT key FROM rota.keys WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED));
