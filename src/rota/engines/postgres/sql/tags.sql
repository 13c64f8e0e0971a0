-- begin
-- From one tag to the next, however many jobs have it, as long as they begin so.
WITH RECURSIVE names (tag) AS (
  (SELECT tag FROM rota.tags WHERE tag >= $1::text ORDER BY tag LIMIT 1)
  UNION ALL
  SELECT (SELECT t.tag FROM rota.tags AS t WHERE t.tag > names.tag ORDER BY t.tag LIMIT 1)
  FROM names WHERE starts_with(names.tag, $1::text)
), few AS (
  SELECT tag FROM names WHERE starts_with(tag, $1::text) LIMIT $2
)
SELECT few.tag, (SELECT count(*) FROM (SELECT 1 FROM rota.tags AS t WHERE t.tag = few.tag LIMIT $3) AS counted) FROM few;
