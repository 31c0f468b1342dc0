-- The same person over time (I8, I10, I11).

-- I8 goes forward in time, so the memory also says since when an id has carried a key, the latest
-- time it began to. 0: longer ago than the memory reaches, which leads to more doubt, not less.
ALTER TABLE carriers ADD COLUMN carried_since INTEGER NOT NULL DEFAULT 0;

-- Whether the memory has learnt the pull of this run. What a run leaves undone here, because it was
-- killed or failed after its pull, the next run does before it reads anything.
ALTER TABLE runs ADD COLUMN remembered INTEGER NOT NULL DEFAULT 0 CHECK (remembered IN (0, 1));

-- §4 step 6: how many complete pulls in a row have missed the person, and the last one counted.
ALTER TABLE absences ADD COLUMN pulls INTEGER NOT NULL DEFAULT 1 CHECK (pulls >= 1);
ALTER TABLE absences ADD COLUMN last_pull INTEGER NOT NULL DEFAULT 0;

-- I9, I10, §5: ACTIVE people whose key no listed Opsera account has. They are few, so the shields
-- look among them alone; filled when the pull is complete.
CREATE TABLE unclaimed_people (
    pull         INTEGER NOT NULL,
    key          TEXT NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    email        TEXT,
    skeleton     TEXT NOT NULL,
    name_folded  TEXT NOT NULL,
    name_key     TEXT NOT NULL,
    full_folded  TEXT,
    PRIMARY KEY (pull, key, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX unclaimed_by_skeleton ON unclaimed_people (pull, skeleton);
CREATE INDEX unclaimed_by_name ON unclaimed_people (pull, name_folded);
CREATE INDEX unclaimed_by_name_key ON unclaimed_people (pull, name_key);
CREATE INDEX unclaimed_by_full_name ON unclaimed_people (pull, full_folded) WHERE full_folded IS NOT NULL;
DROP INDEX opa_users_by_skeleton;

INSERT INTO unclaimed_people (pull, key, id, name, email, skeleton, name_folded, name_key, full_folded)
SELECT u.pull, u.key, u.id, u.name, u.email, u.skeleton, u.name_folded, u.name_key, u.full_folded
FROM opa_users u
WHERE u.key IS NOT NULL AND u.service = 0 AND u.status_rank = 0
  AND NOT EXISTS (SELECT 1 FROM opsera_accounts a WHERE a.pull = u.pull AND a.key = u.key);

-- People whose groups OPA cannot be asked for: doubt about them alone.
CREATE TABLE unreadable_memberships (
    pull    INTEGER NOT NULL,
    opa_id  TEXT NOT NULL,
    PRIMARY KEY (pull, opa_id)
) STRICT, WITHOUT ROWID;

-- §5: keys of entitled people for whom the latest run created no account, because Opsera knows the
-- address after all; in words, for `explain`.
CREATE TABLE unlisted_accounts (
    key     TEXT PRIMARY KEY,
    detail  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
