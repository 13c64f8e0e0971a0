-- read
SELECT f.job, f.id, f.bytes, f.sha256
FROM json_each(?1) AS v
CROSS JOIN files AS f ON f.job = v.value AND f.kind = ?2
CROSS JOIN jobs AS j ON j.id = f.job
WHERE f.lease IS NULL OR f.lease = j.lease;
