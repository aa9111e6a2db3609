-- A run's status changes several times, and each index that holds it was written each time. A run is
-- now in one of two: that of the runs that wait, by lane, or that of the others, which are few.
DROP INDEX live_run_by_place;
DROP INDEX live_run_by_lane;
CREATE INDEX live_run_waiting ON live_run (tenant, lane, run) WHERE status = 'QUEUED';
CREATE INDEX live_run_in_progress ON live_run (run) WHERE status <> 'QUEUED';
