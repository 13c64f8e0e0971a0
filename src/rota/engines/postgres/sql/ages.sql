-- between
SELECT min(block), max(block) FROM rota.ages WHERE minute BETWEEN $1 AND $2;

-- forget
-- Blocks that lie before all jobs.
DELETE FROM rota.ages WHERE block < (SELECT min(seq) FROM rota.jobs) >> 12;
