-- The versions of definition files that somebody keeps live against what the files hold: an
-- instance table. The checksum is that of the file's bytes then; other bytes end the pin.
CREATE TABLE definition_pin (
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    checksum TEXT NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (location, name)
);
