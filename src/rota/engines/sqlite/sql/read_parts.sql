-- part
SELECT p.data FROM files AS f CROSS JOIN parts AS p ON p.file = f.n WHERE f.id = ? AND p.n = ?;
