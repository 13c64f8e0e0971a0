-- given
-- The last number that was taken; what is asked for afterwards is what may still come with it or a lower one.
SELECT last_value FROM rota.events_n_seq;

-- writing
-- The transactions that write events at this moment: who has seen that a feed is on and has not committed yet.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'advisory' AND classid = 1377818154 AND objid = 4294967291 AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
