-- feeds
-- Those that are on, and those that were.
SELECT f.feed, EXISTS (SELECT 1 FROM notes WHERE kind = 'feeds' AND key = f.feed), coalesce(s.dropped, 0), s.owner, coalesce(s.until, 0),
       (SELECT min(n) FROM events AS e WHERE e.feed = f.feed), (SELECT max(n) FROM events AS e WHERE e.feed = f.feed)
FROM (SELECT key AS feed FROM notes WHERE kind = 'feeds' UNION SELECT feed FROM feeds) AS f LEFT JOIN feeds AS s USING (feed)
ORDER BY f.feed;

-- at
SELECT at FROM events WHERE n = ?;

-- count
SELECT count(*) FROM events WHERE feed = ?;

-- cut
-- The last one that is too many.
SELECT n FROM events WHERE feed = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2;
