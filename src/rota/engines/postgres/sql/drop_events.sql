-- owner
-- Kept until the end of the transaction, so that nobody else gets the feed meanwhile.
SELECT 1 FROM rota.feeds WHERE feed = $1 AND owner = $2 FOR SHARE;

-- drop
-- Just these: one with a lower number may have been committed since they were read.
DELETE FROM rota.events WHERE feed = $1 AND n = ANY ($2::bigint[]);
