-- The walls between tenants, as for the tables before these.
ALTER TABLE tick_source ENABLE ROW LEVEL SECURITY;
ALTER TABLE tick_source FORCE ROW LEVEL SECURITY;
ALTER TABLE tick ENABLE ROW LEVEL SECURITY;
ALTER TABLE tick FORCE ROW LEVEL SECURITY;
ALTER TABLE tick_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE tick_run FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_rows ON tick_source TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
CREATE POLICY tenant_rows ON tick TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
CREATE POLICY tenant_rows ON tick_run TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
GRANT SELECT, INSERT, UPDATE, DELETE ON tick_source, tick, tick_run TO millstream_tenant;

-- What is due, over all tenants: names, times and keys, and nothing that a sensor remembers.
CREATE POLICY daemon_rows ON tick_source TO millstream_daemon
    USING (current_user = 'millstream_daemon') WITH CHECK (current_user = 'millstream_daemon');
GRANT SELECT (tenant, kind, location, name, version, timing, cursor_at, next_due, default_on,
              override_on)
    ON tick_source TO millstream_daemon;

-- Room for cursors to move beside the row.
ALTER TABLE tick_source SET (fillfactor = 70);
