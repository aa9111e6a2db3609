-- The names that reports of assets were given by whoever sent them, so that one that is sent again
-- is known: what it said, as a hash, and the report that it became.
CREATE TABLE asset_report (
    tenant TEXT NOT NULL,
    asset TEXT NOT NULL,
    name TEXT NOT NULL,
    said TEXT NOT NULL,
    report TEXT NOT NULL,
    reported_by TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, asset, name)
);
CREATE INDEX asset_report_by_age ON asset_report (tenant, at);
