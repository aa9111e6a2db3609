-- The walls between tenants; nothing here is the daemon's pass over all of them to read.
ALTER TABLE delivery ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON delivery TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery TO millstream_tenant;
