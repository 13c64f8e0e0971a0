-- read
SELECT f.id, (SELECT count(*) FROM rota.parts AS p WHERE p.file = f.n)
FROM rota.files AS f WHERE f.job IS NULL AND NOT f.dropped ORDER BY f.n;
