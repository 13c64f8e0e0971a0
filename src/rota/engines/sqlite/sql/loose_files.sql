-- read
SELECT f.id, (SELECT count(*) FROM parts AS p WHERE p.file = f.n)
FROM files AS f WHERE f.job IS NULL AND f.dropped = 0 ORDER BY f.n;
