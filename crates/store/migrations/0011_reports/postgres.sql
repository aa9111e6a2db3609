-- The walls between tenants; nothing here is the daemon's pass over all of them to read.
ALTER TABLE asset_report ENABLE ROW LEVEL SECURITY;
ALTER TABLE asset_report FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON asset_report TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
GRANT SELECT, INSERT, DELETE ON asset_report TO millstream_tenant;
