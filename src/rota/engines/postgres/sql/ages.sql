-- between
SELECT min(block), max(block) FROM rota.ages WHERE minute BETWEEN $1 AND $2;

-- forget
-- Blocks that lie so far before all jobs that no transaction can still be at them.
DELETE FROM rota.ages WHERE block < ((SELECT min(seq) FROM rota.jobs) - $1) >> 12;
