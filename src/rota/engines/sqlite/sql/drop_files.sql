-- drop
UPDATE files SET dropped = 1
WHERE job IS NULL AND NOT dropped AND id IN (SELECT value FROM json_each(?))
RETURNING id;

-- any_loose
SELECT 1 FROM files WHERE job IS NULL AND dropped = 0 LIMIT 1;

-- drop_loose
UPDATE files SET dropped = 1 WHERE job IS NULL AND dropped = 0;
