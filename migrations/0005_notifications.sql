-- What the webhook has been told, so that nobody is told twice after a restart.

-- Troubles that are not over: a run that failed or was partial, a plan that is held. A run that
-- goes well clears them all.
CREATE TABLE told_troubles (
    -- 'failed', 'partial', or 'held:' and the plan.
    subject  TEXT PRIMARY KEY,
    told_at  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Findings that were told. One that stays away for long is forgotten, and news when it returns.
CREATE TABLE told_findings (
    kind     TEXT NOT NULL,
    email    TEXT NOT NULL,
    seen_at  TEXT NOT NULL,
    PRIMARY KEY (kind, email)
) STRICT, WITHOUT ROWID;
