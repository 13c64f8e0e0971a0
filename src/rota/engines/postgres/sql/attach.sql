-- holds
SELECT 1 FROM rota.jobs WHERE id = $1 AND lease = $2 AND worker = $3 AND state || '' = 'running' FOR UPDATE;

-- whole
SELECT f.n FROM rota.files AS f
WHERE f.id = $1 AND f.job IS NULL AND NOT f.dropped
  AND (SELECT sum(octet_length(p.data)) FROM rota.parts AS p WHERE p.file = f.n) = $2
FOR UPDATE OF f;

-- replace
UPDATE rota.files SET job = NULL, dropped = true WHERE job = $1 AND kind = $2;

-- attach
UPDATE rota.files SET job = $1, kind = $2, lease = $3, bytes = $4, sha256 = $5 WHERE n = $6;

-- there
SELECT 1 FROM rota.files WHERE id = $1 AND job = $2 AND lease = $3 AND kind = 'artifact' AND NOT dropped FOR UPDATE;
