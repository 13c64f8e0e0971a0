-- feeds
SELECT f.feed, n.body, f.dropped, f.owner, f.until, f.floor, e.first, e.at, e.last
FROM rota.feeds AS f
LEFT JOIN rota.notes AS n ON n.kind = 'feeds' AND n.key = f.feed
CROSS JOIN LATERAL (
  SELECT a.n AS first, a.at, (SELECT z.n FROM rota.events AS z WHERE z.feed = f.feed AND z.n > f.floor ORDER BY z.n DESC LIMIT 1) AS last
  FROM (SELECT 1) AS one LEFT JOIN LATERAL (
    SELECT n, at FROM rota.events AS e WHERE e.feed = f.feed AND e.n > f.floor ORDER BY e.n LIMIT 1
  ) AS a ON true
) AS e
ORDER BY f.feed;

-- count
SELECT count(*) FROM rota.events WHERE feed = $1 AND n > $2;

-- cut
-- The last one that is too many.
SELECT n FROM rota.events WHERE feed = $1 AND n > $2 ORDER BY n DESC LIMIT 1 OFFSET $3;
