-- begin
INSERT INTO rota.files (id) SELECT DISTINCT i.id FROM unnest($1::text[]) AS i (id) ORDER BY i.id ON CONFLICT (id) DO NOTHING;

-- loose
SELECT id, n FROM rota.files WHERE id = ANY ($1::text[]) AND job IS NULL AND NOT dropped ORDER BY n FOR UPDATE;

-- parts
INSERT INTO rota.parts (file, n, data)
SELECT p.file, p.n, p.data FROM unnest($1::bigint[], $2::integer[], $3::bytea[]) AS p (file, n, data) ORDER BY p.file, p.n
ON CONFLICT (file, n) DO UPDATE SET data = excluded.data;
