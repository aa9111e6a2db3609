ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_rows ON dead_letter TO millstream_tenant
    USING (tenant = ANY (millstream_tenants())) WITH CHECK (tenant = ANY (millstream_tenants()));
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letter TO millstream_tenant;
