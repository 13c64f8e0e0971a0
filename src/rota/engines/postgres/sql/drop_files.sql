-- drop
UPDATE rota.files SET dropped = true WHERE job IS NULL AND NOT dropped AND id = ANY ($1::text[]) RETURNING id;
