-- What must be remembered from run to run, because neither directory tells.

-- I8, A2: which OPA records carried a key, and until which complete pull. Null means: in the
-- latest one. Only changes are written, so a stable organisation costs nothing.
CREATE TABLE carriers (
    key            TEXT NOT NULL,
    opa_id         TEXT NOT NULL,
    name           TEXT NOT NULL,
    carried_until  INTEGER,
    -- The last pull in which the record was ACTIVE under this key; 0: never.
    active_until   INTEGER,
    PRIMARY KEY (key, opa_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX carriers_by_id ON carriers (opa_id);

-- Who carried a key last: whoever was ACTIVE with it most recently, and whoever had it in any
-- status most recently. Both, because either may be the person the account belongs to.
CREATE VIEW last_carriers AS
SELECT c.key, c.opa_id, c.name
FROM carriers c
WHERE (c.active_until IS NOT 0
       AND coalesce(c.active_until, 9223372036854775807) =
           (SELECT max(coalesce(x.active_until, 9223372036854775807)) FROM carriers x WHERE x.key = c.key))
   OR coalesce(c.carried_until, 9223372036854775807) =
           (SELECT max(coalesce(x.carried_until, 9223372036854775807)) FROM carriers x WHERE x.key = c.key);

-- §4 step 6: since when complete pulls have missed the person of an account.
CREATE TABLE absences (
    key    TEXT PRIMARY KEY,
    since  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- §5: Opsera's documented record does not carry the site role, so what was set is remembered.
-- A null role means that a change was sent whose outcome nobody knows: never taken for any role.
CREATE TABLE known_roles (
    opsera_id  TEXT PRIMARY KEY,
    role       TEXT,
    source     TEXT NOT NULL CHECK (source IN ('set', 'adopted', 'created')),
    at         TEXT NOT NULL,
    CHECK (role IS NOT NULL OR source = 'set')
) STRICT, WITHOUT ROWID;

-- The role a created account started with, until the account appears in a listing with its id.
CREATE TABLE created_roles (
    key   TEXT PRIMARY KEY,
    role  TEXT NOT NULL,
    at    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
