-- Tables whose rows are small and are found by their key alone: without a tree of row numbers beside
-- that of keys, a commit writes two pages less. Rows of events are too large to gain by it.

CREATE TABLE event_batch_by_key (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    position BIGINT,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
INSERT INTO event_batch_by_key (tenant, id, position)
SELECT tenant, id, position FROM event_batch;
DROP TABLE event_batch;
ALTER TABLE event_batch_by_key RENAME TO event_batch;
CREATE INDEX event_batch_by_position ON event_batch (position);

CREATE TABLE step_by_key (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    retry_at BIGINT,
    error TEXT,
    reason TEXT,
    result TEXT,
    result_ref TEXT,
    PRIMARY KEY (tenant, run, step)
) WITHOUT ROWID;
INSERT INTO step_by_key (tenant, run, step, status, attempt, started_at, ended_at, retry_at, error,
                         reason, result, result_ref)
SELECT tenant, run, step, status, attempt, started_at, ended_at, retry_at, error, reason, result,
       result_ref
FROM step;
DROP TABLE step;
ALTER TABLE step_by_key RENAME TO step;
