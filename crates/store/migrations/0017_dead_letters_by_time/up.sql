-- Dead letters are listed by when their runs were given up, a tenant's at a time.
DROP INDEX dead_letter_by_run;
CREATE INDEX dead_letter_by_time ON dead_letter (tenant, at, run);
