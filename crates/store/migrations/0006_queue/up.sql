-- What the queue decides by. A lane holds the runs of a tenant that the same limits hold back; it
-- begins with the priority, highest first. Labels stand here once more so that a pass over all
-- tenants need not enter each of them.
ALTER TABLE live_run ADD COLUMN lane TEXT NOT NULL DEFAULT '0';
ALTER TABLE live_run ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
CREATE INDEX live_run_by_lane ON live_run (status, tenant, lane, run);
-- Runs that had a worker and are about to be tried again: they keep their place under tag limits.
CREATE INDEX live_run_again ON live_run (tenant, run) WHERE status = 'QUEUED' AND epoch > 0;

-- The slots of pools: a row for each attempt that waits for some or holds them, and no counter.
CREATE TABLE slot (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    pool TEXT NOT NULL,
    slots BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    granted BOOLEAN NOT NULL,
    hold TEXT,
    PRIMARY KEY (tenant, run, step)
);
CREATE INDEX slot_waiting ON slot (tenant, pool, asked_at) WHERE granted = FALSE;

-- What has started of late, where a rate limit may ask for it.
CREATE TABLE run_start (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    at BIGINT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (tenant, run, epoch)
);
CREATE INDEX run_start_by_time ON run_start (at);

-- What each tenant has had of the queue, in shares of its weight.
CREATE TABLE queue_share (
    tenant TEXT NOT NULL,
    served BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
