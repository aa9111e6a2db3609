-- The steps that are over since the run's own row was last written: a worker's every report writes
-- this row anyway.
ALTER TABLE live_run ADD COLUMN steps_done BIGINT NOT NULL DEFAULT 0;
