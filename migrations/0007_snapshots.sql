-- The snapshot leaves the store: each pull has two files of its own beside it, which are written
-- once and never changed (docs/decisions/0007-two-stores.md).

-- The sealed snapshot, at most one. A file that is not what stands here is never read.
CREATE TABLE snapshots (
    pull           INTEGER PRIMARY KEY,
    opa_bytes      INTEGER NOT NULL CHECK (opa_bytes > 0),
    opa_digest     TEXT NOT NULL CHECK (length(opa_digest) = 64 AND opa_digest NOT GLOB '*[^0-9a-f]*'),
    opsera_bytes   INTEGER NOT NULL CHECK (opsera_bytes > 0),
    opsera_digest  TEXT NOT NULL CHECK (length(opsera_digest) = 64 AND opsera_digest NOT GLOB '*[^0-9a-f]*')
) STRICT;

-- What the last pull of an older version left: the next pull reads it all again.
DROP TABLE opa_users;
DROP TABLE opa_groups;
DROP TABLE memberships;
DROP TABLE opsera_accounts;
