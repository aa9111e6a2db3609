-- The walls between tenants, and what the daemon's pass over all of them may touch.

ALTER TABLE slot ENABLE ROW LEVEL SECURITY;
ALTER TABLE slot FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON slot TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
CREATE POLICY daemon_rows ON slot TO millstream_daemon
    USING (current_user = 'millstream_daemon') WITH CHECK (current_user = 'millstream_daemon');

ALTER TABLE run_start ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_start FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON run_start TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
CREATE POLICY daemon_rows ON run_start TO millstream_daemon
    USING (current_user = 'millstream_daemon') WITH CHECK (current_user = 'millstream_daemon');

ALTER TABLE queue_share ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_share FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON queue_share TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
CREATE POLICY daemon_rows ON queue_share TO millstream_daemon
    USING (current_user = 'millstream_daemon') WITH CHECK (current_user = 'millstream_daemon');

GRANT SELECT, INSERT, UPDATE, DELETE ON slot TO millstream_tenant;
GRANT SELECT, UPDATE (granted, hold) ON slot TO millstream_daemon;
GRANT SELECT, INSERT, DELETE ON run_start TO millstream_daemon;
GRANT SELECT, INSERT, UPDATE ON queue_share TO millstream_daemon;
GRANT UPDATE (lane) ON live_run TO millstream_daemon;
