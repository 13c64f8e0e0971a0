-- lock
-- First of all, as who drops what has arrived does.
SELECT 1 FROM rota.feeds WHERE feed = $1 FOR UPDATE;

-- oldest
WITH old AS MATERIALIZED (
  SELECT n FROM rota.events WHERE feed = $1 AND n > $2 AND ($3::bigint IS NULL OR n <= $3) ORDER BY n LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM rota.events AS e WHERE e.feed = $1 AND e.n = ANY (ARRAY (SELECT n FROM old)) RETURNING 1
)
SELECT count(*) FROM gone;

-- dropped
UPDATE rota.feeds SET dropped = dropped + $2 WHERE feed = $1;

-- off
UPDATE rota.feeds SET off_at = $2, owner = NULL WHERE feed = $1 AND off_at IS NULL;

-- forget
-- Not while somebody may still be at it who saw that it was on.
DELETE FROM rota.feeds AS f
WHERE feed = $1 AND off_at < $2 AND NOT EXISTS (SELECT 1 FROM rota.events AS e WHERE e.feed = f.feed AND e.n > f.floor)
  AND NOT EXISTS (SELECT 1 FROM rota.notes AS n WHERE n.kind = 'feeds' AND n.key = f.feed);
