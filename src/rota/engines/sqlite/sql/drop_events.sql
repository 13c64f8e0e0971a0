-- drop
DELETE FROM events WHERE n IN (SELECT value FROM json_each(?2)) AND feed = ?1;

-- range
DELETE FROM events WHERE n BETWEEN ?2 AND ?3 AND feed = ?1;
