-- parts
WITH old AS MATERIALIZED (
  SELECT p.file, p.n FROM rota.files AS f JOIN rota.parts AS p ON p.file = ANY (ARRAY[f.n])
  WHERE f.job IS NULL AND f.dropped LIMIT $1 FOR UPDATE OF p SKIP LOCKED
), gone AS (
  DELETE FROM rota.parts AS p USING old WHERE p.file = ANY (ARRAY[old.file]) AND p.n = old.n RETURNING 1
)
SELECT count(*) FROM gone;

-- files
DELETE FROM rota.files WHERE n = ANY (ARRAY (
  SELECT f.n FROM rota.files AS f
  WHERE f.job IS NULL AND f.dropped AND NOT EXISTS (SELECT 1 FROM rota.parts AS p WHERE p.file = ANY (ARRAY[f.n]))
  LIMIT $1 FOR UPDATE OF f SKIP LOCKED
));
