-- Assets that are made elsewhere and reported.
ALTER TABLE materialization ADD COLUMN reported_by TEXT;
ALTER TABLE asset_state ADD COLUMN reported_by TEXT;
ALTER TABLE partition_state ADD COLUMN reported_by TEXT;

-- What was posted to webhooks: a row each, until its id is forgotten. What a tick has taken keeps
-- its id alone, so that a repeated delivery is known.
CREATE TABLE delivery (
    tenant TEXT NOT NULL,
    location TEXT NOT NULL,
    sensor TEXT NOT NULL,
    id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    size BIGINT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    taken_at BIGINT,
    PRIMARY KEY (tenant, location, sensor, id)
);
CREATE INDEX delivery_waiting ON delivery (tenant, location, sensor, received_at, id)
    WHERE taken_at IS NULL;
CREATE INDEX delivery_taken ON delivery (tenant, location, sensor, taken_at)
    WHERE taken_at IS NOT NULL;
