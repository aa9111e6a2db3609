-- A run that tries a failed one again keeps that one's place under tag limits.
ALTER TABLE live_run ADD COLUMN again BOOLEAN NOT NULL DEFAULT FALSE;
DROP INDEX live_run_again;
CREATE INDEX live_run_again ON live_run (tenant, run)
    WHERE status = 'QUEUED' AND (again OR epoch > 0);
