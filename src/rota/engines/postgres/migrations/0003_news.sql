-- What servers tell each other. Numbered by each sender, so that nobody waits for anybody; kept for some seconds, and not
-- over a crash of the database: whoever misses something finds it in the other tables.
CREATE UNLOGGED TABLE rota.news (
  n      bigint NOT NULL,
  at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  sender text COLLATE "C" NOT NULL,
  bodies bytea[] NOT NULL,
  PRIMARY KEY (sender, n)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE rota.news ALTER COLUMN bodies SET STORAGE EXTERNAL;
