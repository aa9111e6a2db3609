-- Deliveries of which no run could be made: how often that was tried, the time before which it is not
-- tried again, and what was wrong. One that is given up is taken, and keeps what it says.
ALTER TABLE delivery ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN due BIGINT NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN problem TEXT;
CREATE INDEX delivery_aside ON delivery (tenant, location, sensor, taken_at, id)
    WHERE taken_at IS NOT NULL AND problem IS NOT NULL;
