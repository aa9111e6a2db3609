-- The loops of each daemon, and when each was last seen to get around. An instance table: daemons
-- work for all tenants.
CREATE TABLE daemon_loop (
    daemon TEXT NOT NULL,
    name TEXT NOT NULL,
    silence_max BIGINT NOT NULL,
    beat_at BIGINT NOT NULL,
    PRIMARY KEY (daemon, name)
);
