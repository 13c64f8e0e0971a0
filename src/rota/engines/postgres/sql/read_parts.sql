-- part
SELECT a.i, p.data
FROM unnest($1::text[], $2::integer[]) WITH ORDINALITY AS a (id, n, i)
JOIN rota.files AS f ON f.id = ANY (ARRAY[a.id])
JOIN rota.parts AS p ON p.file = ANY (ARRAY[f.n]) AND p.n = a.n;
