-- Instance tables: rows that belong to no tenant.

CREATE TABLE instance (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    fence BIGINT NOT NULL,
    beat BIGINT NOT NULL
);

CREATE TABLE location (
    name TEXT NOT NULL PRIMARY KEY,
    root TEXT NOT NULL,
    version BIGINT NOT NULL,
    scanned_at BIGINT,
    stale_since BIGINT,
    stale_reason TEXT
);

CREATE TABLE definition_content (
    hash TEXT NOT NULL PRIMARY KEY,
    json TEXT NOT NULL
);

CREATE TABLE definition_file (
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    checksum TEXT NOT NULL,
    version TEXT,
    loaded_at BIGINT,
    diagnostics TEXT NOT NULL,
    PRIMARY KEY (location, name)
);

CREATE TABLE definition_version (
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    loaded_at BIGINT NOT NULL,
    PRIMARY KEY (location, name, number)
);

CREATE TABLE daemon_request (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    answer TEXT
);

-- Tenants' tables: the tenant is first in every primary key and unique index.

CREATE TABLE plan (
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (tenant, hash)
);

CREATE TABLE run (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    location TEXT NOT NULL,
    job TEXT,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    cause TEXT NOT NULL,
    partition_key TEXT,
    tags TEXT NOT NULL,
    context TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    steps_total BIGINT NOT NULL,
    steps_done BIGINT NOT NULL,
    failure TEXT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX run_by_id ON run (id);
CREATE INDEX run_by_job ON run (tenant, job, id);

-- Live state: a row for each run that is not over, and nothing else.
CREATE TABLE live_run (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    status TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    beat BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    queued_at BIGINT NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    hold TEXT,
    worker TEXT,
    PRIMARY KEY (tenant, run)
);
CREATE INDEX live_run_by_place ON live_run (status, priority DESC, run);

CREATE TABLE event_batch (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    position BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX event_batch_by_position ON event_batch (position);

CREATE TABLE event (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    batch TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, run, epoch, seq)
);
CREATE INDEX event_by_batch ON event (tenant, batch);

CREATE TABLE step (
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
);

CREATE TABLE materialization (
    tenant TEXT NOT NULL,
    asset TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    data_version TEXT,
    code_version TEXT NOT NULL,
    PRIMARY KEY (tenant, asset, run, partition_key)
);

CREATE TABLE asset_state (
    tenant TEXT NOT NULL,
    asset TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    data_version TEXT,
    code_version TEXT NOT NULL,
    PRIMARY KEY (tenant, asset)
);

CREATE TABLE partition_state (
    tenant TEXT NOT NULL,
    asset TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    state TEXT NOT NULL,
    run TEXT NOT NULL,
    at BIGINT NOT NULL,
    materialized_at BIGINT,
    PRIMARY KEY (tenant, asset, partition_key)
);

CREATE TABLE dynamic_partition (
    tenant TEXT NOT NULL,
    definition TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    added_at BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (tenant, definition, partition_key)
);

CREATE UNIQUE INDEX dynamic_partition_by_ordinal
    ON dynamic_partition (tenant, definition, ordinal);

CREATE TABLE job_override (
    tenant TEXT NOT NULL,
    location TEXT NOT NULL,
    job TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, location, job)
);
