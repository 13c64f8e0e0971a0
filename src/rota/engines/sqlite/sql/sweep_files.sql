-- parts
SELECT p.file, p.n FROM files AS f CROSS JOIN parts AS p ON p.file = f.n
WHERE f.job IS NULL AND f.dropped = 1
LIMIT ?;

-- part
DELETE FROM parts WHERE file = ? AND n = ?;

-- files
DELETE FROM files WHERE n IN (
  SELECT f.n FROM files AS f
  WHERE f.job IS NULL AND f.dropped = 1 AND NOT EXISTS (SELECT 1 FROM parts AS p WHERE p.file = f.n)
  LIMIT ?
);
