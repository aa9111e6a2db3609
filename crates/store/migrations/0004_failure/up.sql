-- The run that tries a failed one again; one at most.
ALTER TABLE run ADD COLUMN retried_as TEXT;

-- How long a run may go on, in microseconds.
ALTER TABLE live_run ADD COLUMN timeout BIGINT;

-- Runs that failed for good, until somebody retries or discards them.
CREATE TABLE dead_letter (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    reason TEXT NOT NULL,
    failure TEXT NOT NULL,
    at BIGINT NOT NULL,
    closed_as TEXT,
    closed_by TEXT,
    closed_at BIGINT,
    PRIMARY KEY (tenant, run)
);
CREATE INDEX dead_letter_by_run ON dead_letter (run);
