-- begin
INSERT INTO files (id) VALUES (?) ON CONFLICT (id) DO NOTHING;

-- loose
SELECT n FROM files WHERE id = ? AND job IS NULL AND NOT dropped;

-- part
INSERT INTO parts (file, n, data) VALUES (?, ?, ?) ON CONFLICT (file, n) DO UPDATE SET data = excluded.data;
