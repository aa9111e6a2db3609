-- How many of a run's workers have given it back in order: those are no losses.
ALTER TABLE live_run ADD COLUMN handed_back BIGINT NOT NULL DEFAULT 0;
