-- keep
INSERT INTO events (feed, at, event, id, type, queue, state, attempt, worker, end, reason, result, result_type, result_bytes,
                    error, error_bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
