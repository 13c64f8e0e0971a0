-- read
SELECT f.job, f.id, f.bytes, f.sha256
FROM rota.files AS f JOIN rota.jobs AS j ON j.id = ANY (ARRAY[f.job])
WHERE f.job = ANY ($1::text[]) AND f.kind = $2 AND (f.lease IS NULL OR f.lease = j.lease);
