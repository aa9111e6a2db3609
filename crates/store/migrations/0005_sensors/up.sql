-- Ticks of sensors: a row of equal ones that requested nothing is one row.
ALTER TABLE tick ADD COLUMN times BIGINT NOT NULL DEFAULT 1;
ALTER TABLE tick ADD COLUMN since BIGINT;
