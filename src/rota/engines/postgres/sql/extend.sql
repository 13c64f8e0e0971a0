-- beat
UPDATE rota.jobs AS j SET lease_until = b.until, progress = coalesce(b.progress, j.progress)
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bytea[]) AS b (id, lease, until, progress)
WHERE j.id = ANY (ARRAY[b.id]) AND j.lease = b.lease AND j.state || '' = 'running'
RETURNING j.id, j.lease, j.cancel_requested;
