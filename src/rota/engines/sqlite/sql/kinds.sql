-- add
INSERT INTO kinds (queue, type, block) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- left
SELECT 1 FROM jobs WHERE seq BETWEEN ? AND ? LIMIT 1;

-- empty
DELETE FROM kinds WHERE block = ?;

-- blocks
SELECT block FROM kinds WHERE queue = ? AND type = ? AND block BETWEEN ? AND ? ORDER BY block {order} LIMIT ?;

-- jobs
SELECT seq FROM jobs NOT INDEXED WHERE seq BETWEEN ? AND ? AND queue = ? AND type = ? ORDER BY seq {order};
