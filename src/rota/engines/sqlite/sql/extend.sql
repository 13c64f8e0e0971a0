-- beat
UPDATE jobs SET lease_until = ?1, progress = coalesce(?2, progress)
WHERE id = ?3 AND lease = ?4 AND state = 'running'
RETURNING id, lease, cancel_requested;
