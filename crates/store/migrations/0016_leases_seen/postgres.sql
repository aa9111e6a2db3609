-- What stores a tick asks whether the lease is still held under which the tick was decided.
GRANT SELECT (name, holder, fence) ON lease TO millstream_tenant;
