-- Other versions of SQLite answer json_valid(NULL) with 0 and would call every entry without a
-- value damaged. The table is made anew with checks that say what they mean; every row keeps every
-- byte, so the chain is the same.
CREATE TABLE audit_anew (
    seq         INTEGER PRIMARY KEY CHECK (seq >= 1),
    at          TEXT NOT NULL CHECK (at GLOB '????-??-??T??:??:??.???Z'),
    run_id      TEXT,
    host        TEXT NOT NULL,
    user        TEXT NOT NULL,
    version     TEXT NOT NULL,
    event       TEXT NOT NULL CHECK (event IN (
                    'run_started', 'pull_completed', 'pull_failed', 'plan_created',
                    'plan_held', 'plan_approved', 'plan_rejected', 'action_started',
                    'action_succeeded', 'action_failed', 'action_skipped', 'run_finished')),
    email       TEXT,
    opsera_id   TEXT,
    "before"    TEXT CHECK ("before" IS NULL OR json_valid("before")),
    "after"     TEXT CHECK ("after" IS NULL OR json_valid("after")),
    reason      TEXT,
    evidence    TEXT CHECK (evidence IS NULL OR json_valid(evidence)),
    http_status INTEGER CHECK (http_status IS NULL OR http_status BETWEEN 0 AND 65535),
    words       TEXT,
    algorithm   TEXT NOT NULL CHECK (algorithm IN ('sha256', 'hmac-sha256')),
    prev_hash   TEXT NOT NULL CHECK (length(prev_hash) = 64 AND prev_hash NOT GLOB '*[^0-9a-f]*'),
    hash        TEXT NOT NULL CHECK (length(hash) = 64 AND hash NOT GLOB '*[^0-9a-f]*')
) STRICT;

INSERT INTO audit_anew (seq, at, run_id, host, user, version, event, email, opsera_id, "before",
                        "after", reason, evidence, http_status, words, algorithm, prev_hash, hash)
SELECT seq, at, run_id, host, user, version, event, email, opsera_id, "before",
       "after", reason, evidence, http_status, words, algorithm, prev_hash, hash
FROM audit ORDER BY seq;

DROP TABLE audit;
ALTER TABLE audit_anew RENAME TO audit;

CREATE INDEX audit_by_email     ON audit (email COLLATE NOCASE) WHERE email IS NOT NULL;
CREATE INDEX audit_by_opsera_id ON audit (opsera_id) WHERE opsera_id IS NOT NULL;
CREATE INDEX audit_by_run       ON audit (run_id);
CREATE INDEX audit_by_event     ON audit (event);
CREATE INDEX audit_by_time      ON audit (at);

CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: an entry cannot be changed');
END;

CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: an entry cannot be removed');
END;

CREATE TRIGGER audit_only_continues BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
  OR NEW.prev_hash IS NOT coalesce(
        (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1),
        '0000000000000000000000000000000000000000000000000000000000000000')
  OR NEW.at < (SELECT at FROM audit ORDER BY seq DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: an entry must continue the last one');
END;
