-- What a run must know of the runs before it.

-- G2 on the Opsera side: how many accounts were listed when the source was accepted.
ALTER TABLE runs ADD COLUMN opsera_listed INTEGER CHECK (opsera_listed IS NULL OR opsera_listed >= 0);

-- The clocks of the machine when the run read both directories, and whether the wall clock was to
-- be trusted (§4 step 6): the next run compares.
ALTER TABLE runs ADD COLUMN clock_wall TEXT;
ALTER TABLE runs ADD COLUMN clock_boot_id TEXT;
ALTER TABLE runs ADD COLUMN clock_uptime_ms INTEGER;
ALTER TABLE runs ADD COLUMN clock_trusted INTEGER CHECK (clock_trusted IS NULL OR clock_trusted IN (0, 1));

-- The people the run was limited to (--person), as a JSON array of keys; null: everybody.
ALTER TABLE runs ADD COLUMN people TEXT;
ALTER TABLE plans ADD COLUMN people TEXT;

-- Whether a later row is about the same work: `queue list` and `status` ask for each refusal.
CREATE INDEX actions_by_identity ON actions (identity, id);

-- Leavers whose account the listing hides, because they never signed in (§4).
CREATE TABLE pending_leavers (
    key    TEXT PRIMARY KEY,
    since  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
