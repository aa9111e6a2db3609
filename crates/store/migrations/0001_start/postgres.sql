-- What only Postgres has: the two roles, and the walls between tenants that the server itself holds.

-- A statement of a batch that touched another number of rows than it must ends its transaction.
CREATE FUNCTION millstream_expect(touched BIGINT, wanted BIGINT) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF touched <> wanted THEN
        RAISE EXCEPTION USING
            ERRCODE = 'MS001', MESSAGE = format('%s rows instead of %s', touched, wanted);
    END IF;
    RETURN touched;
END $$;

-- The tenants that this transaction is about; NULL, which no row matches, when it names none.
CREATE FUNCTION millstream_tenants() RETURNS TEXT[]
LANGUAGE sql STABLE AS $$
    SELECT string_to_array(nullif(current_setting('millstream.tenants', TRUE), ''), ',')
$$;

-- Roles belong to the cluster: another database of it may have made them, even this moment.
DO $$
DECLARE
    wanted TEXT;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['millstream_tenant', 'millstream_daemon'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF EXISTS (SELECT FROM pg_roles
                   WHERE rolname = wanted AND (rolsuper OR rolbypassrls OR rolcanlogin)) THEN
            RAISE EXCEPTION 'role % may log in or pass row-level security; drop those rights', wanted;
        END IF;
        BEGIN
            IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
            END IF;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), wanted);
    END LOOP;
END $$;

-- FORCE, so that the owner of the tables is held as well: outside of the roles nobody sees a row.
DO $$
DECLARE
    guarded TEXT;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'plan', 'run', 'live_run', 'event_batch', 'event', 'step', 'materialization',
        'asset_state', 'partition_state', 'dynamic_partition', 'job_override'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format(
            'CREATE POLICY tenant_rows ON %I TO millstream_tenant '
            'USING (tenant = ANY (millstream_tenants())) '
            'WITH CHECK (tenant = ANY (millstream_tenants()))', guarded);
    END LOOP;
END $$;

-- A tenant's transaction; what is history is only added to, and a position is the publisher's word.
GRANT SELECT, INSERT, UPDATE, DELETE
    ON run, live_run, step, asset_state, partition_state, dynamic_partition, job_override
    TO millstream_tenant;
GRANT SELECT, INSERT, DELETE ON plan, event, materialization TO millstream_tenant;
GRANT SELECT, DELETE, INSERT (tenant, id) ON event_batch TO millstream_tenant;

-- The daemon's transaction, over all tenants: the queue, the leases and the log's order. A policy
-- for a role holds for its members too, so it asks which role was entered: the login is a member.
CREATE POLICY daemon_rows ON live_run TO millstream_daemon
    USING (current_user = 'millstream_daemon') WITH CHECK (current_user = 'millstream_daemon');
CREATE POLICY daemon_rows ON event_batch TO millstream_daemon
    USING (current_user = 'millstream_daemon') WITH CHECK (current_user = 'millstream_daemon');
GRANT SELECT, UPDATE (status, epoch, seq, beat, hold, worker) ON live_run TO millstream_daemon;
GRANT SELECT, UPDATE (position) ON event_batch TO millstream_daemon;
GRANT SELECT, INSERT, UPDATE ON lease TO millstream_daemon;

-- The order in which batches were written. It has gaps and is no order of commits; but of two
-- batches of which one knew of the other it tells the first, and so the publisher sorts by it.
ALTER TABLE event_batch ADD COLUMN arrival BIGINT GENERATED ALWAYS AS IDENTITY;
CREATE INDEX event_batch_unpublished ON event_batch (arrival) WHERE position IS NULL;

-- Room for the beats of workers to be written beside the row instead of in the indexes.
ALTER TABLE live_run SET (fillfactor = 70);
