-- Held plans with their approvals (§6), and the durable action queue (§7).

-- A plan that a guard held. The id is a digest of the actions, so the same work is one row.
CREATE TABLE plans (
    id            TEXT PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN ('held', 'approved', 'used', 'rejected', 'superseded')),
    run_id        TEXT NOT NULL,
    kinds         TEXT NOT NULL,
    -- The guards as the latest run that held it saw them (JSON).
    guards        TEXT NOT NULL,
    held_at       TEXT NOT NULL,
    last_held_at  TEXT NOT NULL,
    decided_at    TEXT,
    decided_by    TEXT,
    reason        TEXT,
    CHECK (state NOT IN ('approved', 'used', 'rejected') OR (decided_at IS NOT NULL AND decided_by IS NOT NULL)),
    CHECK (state NOT IN ('approved', 'used') OR reason IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE plan_actions (
    plan_id    TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    -- Kind, account or key, and target role: what an approval is bound to.
    identity   TEXT NOT NULL,
    -- The action as it was shown to the approver (JSON).
    action     TEXT NOT NULL,
    -- Set when an approved action has succeeded: an approval is used up one action at a time.
    done_at    TEXT,
    PRIMARY KEY (plan_id, position),
    UNIQUE (plan_id, identity)
) STRICT, WITHOUT ROWID;

CREATE INDEX plan_actions_by_identity ON plan_actions (identity);

-- The action queue. Legal transitions:
--   planned → in_flight → succeeded | already | failed | rejected | skipped | planned (never effective)
--   planned → already | skipped | failed | superseded | cancelled
--   rejected, cancelled → released (the operator's `queue retry`)
CREATE TABLE actions (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id         TEXT NOT NULL,
    plan_id        TEXT NOT NULL,
    position       INTEGER NOT NULL,
    identity       TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('set_role', 'create', 'deactivate')),
    opsera_id      TEXT,
    key            TEXT NOT NULL,
    email          TEXT NOT NULL,
    -- The whole action (JSON), as the worker needs it.
    action         TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('planned', 'in_flight', 'succeeded', 'already', 'failed',
                                                  'rejected', 'skipped', 'superseded', 'cancelled', 'released')),
    attempts       INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at TEXT,
    http_status    INTEGER,
    message        TEXT,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    CHECK ((kind = 'create') = (opsera_id IS NULL)),
    -- Nothing is under way that was not counted, and only a refusal carries a date to try again.
    CHECK (state <> 'in_flight' OR attempts > 0),
    CHECK (state <> 'succeeded' OR attempts > 0),
    CHECK ((next_attempt_at IS NOT NULL) = (state IN ('rejected', 'cancelled')))
) STRICT;

-- At most one open row for the same work.
CREATE UNIQUE INDEX actions_open ON actions (identity) WHERE state IN ('planned', 'in_flight');
CREATE INDEX actions_by_run ON actions (run_id, position);
CREATE INDEX actions_refused ON actions (identity, next_attempt_at) WHERE state IN ('rejected', 'cancelled');
CREATE INDEX actions_deactivated ON actions (updated_at) WHERE kind = 'deactivate' AND state = 'succeeded';

-- A row only ever moves along the transitions above.
CREATE TRIGGER actions_move_legally BEFORE UPDATE OF state ON actions
WHEN NEW.state <> OLD.state AND NOT (
       (OLD.state = 'planned'   AND NEW.state IN ('in_flight', 'already', 'skipped', 'failed', 'superseded', 'cancelled'))
    OR (OLD.state = 'in_flight' AND NEW.state IN ('succeeded', 'already', 'failed', 'rejected', 'skipped', 'planned'))
    OR (OLD.state IN ('rejected', 'cancelled') AND NEW.state = 'released')
)
BEGIN
    SELECT RAISE(ABORT, 'this action cannot move to that state');
END;
