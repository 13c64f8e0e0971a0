-- begin
-- From one tag to the next, however many jobs have it, as long as they begin so.
WITH RECURSIVE names (tag) AS (
  SELECT min(tag) FROM tags WHERE tag >= ?1
  UNION ALL
  SELECT (SELECT min(t.tag) FROM tags AS t WHERE t.tag > names.tag) FROM names WHERE instr(names.tag, ?1) = 1
)
SELECT names.tag, (SELECT count(*) FROM (SELECT 1 FROM tags AS t WHERE t.tag = names.tag LIMIT ?3))
FROM names WHERE instr(names.tag, ?1) = 1 LIMIT ?2;
