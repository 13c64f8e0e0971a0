-- last
SELECT j.id, j.seq, coalesce((SELECT max(l.n) FROM rota.logs AS l WHERE l.seq = j.seq), 0)
FROM rota.jobs AS j WHERE j.id = ANY ($1::text[]);

-- lines
INSERT INTO rota.logs (seq, n, at, level, text) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[]);

-- read
SELECT l.n, l.at, l.level, l.text FROM rota.logs AS l
WHERE l.seq = (SELECT seq FROM rota.jobs WHERE id = $1) AND l.n > $2 ORDER BY l.n LIMIT $3;

-- there
-- Whether a job has a line, or is full.
SELECT EXISTS (
  SELECT 1 FROM rota.logs AS l
  WHERE l.seq = (SELECT seq FROM rota.jobs WHERE id = $1) AND (l.at = $2 AND l.text = $3 OR l.n >= $4)
);
