-- owner
SELECT owner, until, floor FROM rota.feeds WHERE feed = $1;

-- hold
INSERT INTO rota.feeds (feed, owner, until, floor) VALUES ($1, $2, $3, $5)
ON CONFLICT (feed) DO UPDATE SET owner = excluded.owner, until = excluded.until, floor = greatest(feeds.floor, excluded.floor)
WHERE feeds.owner IS NULL OR feeds.owner = $2 OR feeds.until <= $4
RETURNING floor;

-- oldest
-- Behind the floor, for what was dropped may be long in going. No more than $4 bytes of results, unless it is one alone.
SELECT n, at, event, id, type, queue, state, attempt, worker, "end", reason, result, result_type, result_bytes, error, error_bytes
FROM (
  SELECT *, sum(coalesce(octet_length(result), 0) + coalesce(octet_length(error), 0)) OVER (ORDER BY n) AS bytes,
         row_number() OVER (ORDER BY n) AS i
  FROM (SELECT * FROM rota.events WHERE feed = $1 AND n > $2 ORDER BY n LIMIT $3) AS e
) AS e
WHERE bytes <= $4 OR i = 1
ORDER BY n;
