-- jobs
-- The next jobs of a kind, block by block.
SELECT j.seq FROM (
  SELECT DISTINCT block FROM rota.kinds
  WHERE queue = $1 AND type = $2 AND block BETWEEN $3::bigint >> 8 AND $4::bigint >> 8 ORDER BY block {order} OFFSET 0
) AS b CROSS JOIN LATERAL (
  SELECT seq FROM (
    SELECT seq, queue, type FROM rota.jobs
    WHERE seq BETWEEN greatest($3, b.block << 8) AND least($4, (b.block << 8) + 255) ORDER BY seq {order} OFFSET 0
  ) AS all_of_them WHERE queue = $1 AND type = $2
) AS j LIMIT $5;

-- forget
-- Blocks that lie so far before all jobs that no transaction can still be at them.
DELETE FROM rota.kinds WHERE block < ((SELECT min(seq) FROM rota.jobs) - $1) >> 8;

-- unused
-- Lanes of kinds of which there are no jobs.
SELECT count(*) FROM rota.lanes AS l WHERE NOT EXISTS (SELECT 1 FROM rota.kinds AS k WHERE k.queue = l.queue AND k.type = l.type);

-- hold_lanes
-- Everybody who stores jobs writes lanes, so nobody is at it once this is granted, nor begins before the end.
SET LOCAL lock_timeout = '50ms';
LOCK TABLE rota.lanes IN SHARE ROW EXCLUSIVE MODE;

-- join_lanes
-- Those of transactions of others become everybody's.
WITH theirs AS (
  DELETE FROM rota.lanes WHERE tx <> 0 RETURNING queue, type, priority
)
INSERT INTO rota.lanes (queue, type, priority)
SELECT DISTINCT queue, type, priority FROM theirs ORDER BY queue, type, priority ON CONFLICT DO NOTHING;

-- forget_lanes
DELETE FROM rota.lanes AS l WHERE NOT EXISTS (SELECT 1 FROM rota.kinds AS k WHERE k.queue = l.queue AND k.type = l.type);
