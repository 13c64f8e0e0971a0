-- holds
SELECT 1 FROM jobs WHERE id = ? AND lease = ? AND worker = ? AND state = 'running';

-- whole
-- The length of a blob is known without reading it.
SELECT f.n FROM files AS f
WHERE f.id = ? AND f.job IS NULL AND NOT f.dropped
  AND (SELECT sum(length(p.data)) FROM parts AS p WHERE p.file = f.n) = ?;

-- replace
UPDATE files SET job = NULL, dropped = 1 WHERE job = ? AND kind = ?;

-- attach
UPDATE files SET job = ?, kind = ?, lease = ?, bytes = ?, sha256 = ? WHERE n = ?;
