-- What ticks, where each stands, and what came of its ticks.

-- Live state: a row for each schedule and sensor of each tenant.
CREATE TABLE tick_source (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The version of the location that this was last taken from; an older one changes nothing.
    version BIGINT NOT NULL,
    -- What the cursor belongs to; another value means that the definition was edited.
    timing TEXT NOT NULL,
    -- Of a schedule: the nominal time of the last decided tick. Of a sensor: when it last ticked.
    cursor_at BIGINT NOT NULL,
    -- What a sensor remembers.
    cursor TEXT,
    -- When to look again; nobody looks at one that is off.
    next_due BIGINT,
    -- What the definition says, and what somebody says against it.
    default_on BOOLEAN NOT NULL,
    override_on BOOLEAN,
    override_by TEXT,
    override_at BIGINT,
    PRIMARY KEY (tenant, kind, location, name)
);
CREATE INDEX tick_source_due ON tick_source (next_due, kind);

-- History: one row a tick.
CREATE TABLE tick (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    nominal BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    requested BIGINT NOT NULL,
    -- Why nothing was requested, and what kept single runs from being requested, as JSON.
    skipped TEXT,
    error TEXT,
    warnings TEXT,
    PRIMARY KEY (tenant, kind, location, name, nominal)
);
CREATE INDEX tick_by_age ON tick (tenant, decided_at);

-- What ticks requested: a run key is there once.
CREATE TABLE tick_run (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    run_key TEXT NOT NULL,
    nominal BIGINT NOT NULL,
    run TEXT NOT NULL,
    partition_key TEXT,
    PRIMARY KEY (tenant, kind, location, name, run_key)
);
CREATE INDEX tick_run_by_tick ON tick_run (tenant, kind, location, name, nominal);
CREATE INDEX tick_run_by_run ON tick_run (tenant, run);
