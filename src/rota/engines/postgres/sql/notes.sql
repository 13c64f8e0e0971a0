-- save
WITH feed AS (
  INSERT INTO rota.feeds (feed, until) SELECT s.key, 0 FROM unnest($3::text[], $4::text[]) AS s (kind, key) WHERE s.kind = 'feeds'
  ON CONFLICT (feed) DO UPDATE SET off_at = NULL WHERE feeds.off_at IS NOT NULL
), gone AS (
  DELETE FROM rota.notes AS n USING unnest($1::text[], $2::text[]) AS g (kind, key) WHERE n.kind = g.kind AND n.key = g.key
)
INSERT INTO rota.notes (kind, key, body)
SELECT s.kind, s.key, s.body FROM unnest($3::text[], $4::text[], $5::bytea[]) AS s (kind, key, body) ORDER BY s.kind, s.key
ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body;

-- range
SELECT kind, key, body FROM rota.notes
WHERE kind = $1 AND key >= $2 AND ($3::text IS NULL OR key < $3) ORDER BY key LIMIT $4;
