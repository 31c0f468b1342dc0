-- Runs, and what the two directories looked like in the last complete pull.
--
-- A pull writes its rows under its own run's number; they count only once the run is marked as
-- pulled, in one statement after the last page. A killed pull therefore leaves nothing that
-- anybody reads, and the next run clears it away.

-- One row per reconciliation. `seq` also numbers the pulls.
CREATE TABLE runs (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    mode           TEXT NOT NULL CHECK (mode IN ('dry_run', 'apply')),
    -- The kinds of action the run was limited to (--only), in their fixed order.
    kinds          TEXT NOT NULL,
    started_at     TEXT NOT NULL,
    -- Set once every page of both directories has arrived (G0).
    pulled_at      TEXT,
    finished_at    TEXT,
    outcome        TEXT CHECK (outcome IN ('in_sync', 'changes_pending', 'applied', 'held', 'partial', 'failed')),
    plan_id        TEXT,
    -- ACTIVE humans of the pull, and whether G1 and G2 accepted that number: the baseline of G2.
    opa_active     INTEGER CHECK (opa_active >= 0),
    opa_accepted   INTEGER NOT NULL DEFAULT 0 CHECK (opa_accepted IN (0, 1)),
    -- The report without its lists of people, for `status`.
    report         TEXT,
    error          TEXT,
    CHECK ((finished_at IS NULL) = (outcome IS NULL)),
    CHECK (opa_accepted = 0 OR opa_active IS NOT NULL)
) STRICT;

-- One row per OPA record id (I3): a record seen twice counts once, the better status wins.
CREATE TABLE opa_users (
    pull         INTEGER NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    status       TEXT NOT NULL,
    -- 0 ACTIVE, 1 a status we do not know, 2 DISABLED, 3 DELETED: the smaller wins.
    status_rank  INTEGER NOT NULL CHECK (status_rank BETWEEN 0 AND 3),
    service      INTEGER NOT NULL CHECK (service IN (0, 1)),
    email        TEXT,
    -- I1 and I2; null where the address is missing or invalid.
    address      TEXT,
    key          TEXT,
    skeleton     TEXT,
    first_name   TEXT,
    last_name    TEXT,
    -- What I7 compares, prepared once.
    name_folded  TEXT NOT NULL,
    name_key     TEXT NOT NULL,
    full_folded  TEXT,
    PRIMARY KEY (pull, id),
    CHECK ((key IS NULL) = (address IS NULL) AND (key IS NULL) = (skeleton IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX opa_users_by_key ON opa_users (pull, key, service, status_rank);
CREATE INDEX opa_users_by_skeleton ON opa_users (pull, skeleton) WHERE service = 0 AND status_rank = 0;
-- The unidentified people of I7 are few; these find the ones an account could belong to.
CREATE INDEX opa_users_unidentified_name ON opa_users (pull, name_folded) WHERE key IS NULL AND service = 0 AND status_rank = 0;
CREATE INDEX opa_users_unidentified_key ON opa_users (pull, name_key) WHERE key IS NULL AND service = 0 AND status_rank = 0;
CREATE INDEX opa_users_unidentified_full ON opa_users (pull, full_folded) WHERE key IS NULL AND service = 0 AND status_rank = 0;
CREATE INDEX opa_users_unknown_status ON opa_users (pull, name) WHERE service = 0 AND status_rank = 1;

-- Live groups of the Team that the settings name or match.
CREATE TABLE opa_groups (
    pull  INTEGER NOT NULL,
    name  TEXT NOT NULL,
    PRIMARY KEY (pull, name)
) STRICT, WITHOUT ROWID;

-- Who is in which live group, as far as the settings make it matter.
CREATE TABLE memberships (
    pull        INTEGER NOT NULL,
    opa_id      TEXT NOT NULL,
    group_name  TEXT NOT NULL,
    PRIMARY KEY (pull, opa_id, group_name)
) STRICT, WITHOUT ROWID;

-- One row per Opsera account of the listing.
CREATE TABLE opsera_accounts (
    pull         INTEGER NOT NULL,
    id           TEXT NOT NULL,
    email        TEXT,
    address      TEXT,
    -- The OPA key the account is matched with (I2); null where the address is invalid (I6).
    key          TEXT,
    -- The same without matching.aliases, for the names that are whole addresses (I7).
    own_key      TEXT,
    skeleton     TEXT,
    first_name   TEXT,
    last_name    TEXT,
    local_folded     TEXT,
    own_local_folded TEXT,
    full_folded  TEXT,
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    managed      INTEGER NOT NULL CHECK (managed IN (0, 1)),
    site_role    TEXT,
    PRIMARY KEY (pull, id),
    CHECK ((key IS NULL) = (address IS NULL)),
    CHECK (managed = 0 OR (active = 1 AND key IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX opsera_accounts_by_key ON opsera_accounts (pull, key);
