-- oldest
DELETE FROM events WHERE n IN (SELECT n FROM events WHERE feed = ?1 AND (?2 IS NULL OR n <= ?2) ORDER BY n LIMIT ?3);

-- dropped
INSERT INTO feeds (feed, until, dropped) VALUES (?1, ?2, ?3)
ON CONFLICT (feed) DO UPDATE SET dropped = dropped + excluded.dropped;

-- forget
DELETE FROM feeds WHERE feed = ? AND NOT EXISTS (SELECT 1 FROM events WHERE events.feed = feeds.feed);
