-- The snapshot leaves the store: each pull has two files of its own beside it, which are written
-- once and never changed (docs/decisions/0007-two-stores.md).

-- The sealed snapshot, at most one. A file that is not what stands here is never read.
CREATE TABLE snapshots (
    pull           INTEGER PRIMARY KEY,
    opa_bytes      INTEGER NOT NULL CHECK (opa_bytes > 0),
    opa_digest     TEXT NOT NULL CHECK (length(opa_digest) = 64 AND opa_digest NOT GLOB '*[^0-9a-f]*'),
    opsera_bytes   INTEGER NOT NULL CHECK (opsera_bytes > 0),
    opsera_digest  TEXT NOT NULL CHECK (length(opsera_digest) = 64 AND opsera_digest NOT GLOB '*[^0-9a-f]*'),
    -- Listed accounts: known also when the files are lost.
    accounts       INTEGER NOT NULL CHECK (accounts >= 0),
    -- One number for who carries which key; null: that cannot be said in one number.
    mark           TEXT
) STRICT;

-- A run that was killed between its pull and the end of its plan has not taught the memory who
-- carried which key (I8, I11). The tables that it would learn from go, so it learns now. A second
-- time changes nothing.
CREATE TABLE last_pull AS SELECT seq AS pull,
    (SELECT coalesce(max(b.seq), 0) FROM runs b WHERE b.pulled_at IS NOT NULL AND b.seq < r.seq) AS before
FROM runs r WHERE r.seq = (SELECT max(seq) FROM runs WHERE pulled_at IS NOT NULL);

UPDATE carriers AS c SET active_until = (SELECT before FROM last_pull)
WHERE c.active_until IS NULL AND EXISTS (SELECT 1 FROM last_pull)
  AND NOT EXISTS (SELECT 1 FROM opa_users u JOIN last_pull l ON u.pull = l.pull
                  WHERE u.id = c.opa_id AND u.key = c.key AND u.service = 0 AND u.status_rank = 0);

UPDATE carriers AS c SET carried_until = (SELECT before FROM last_pull)
WHERE c.carried_until IS NULL AND EXISTS (SELECT 1 FROM last_pull)
  AND NOT EXISTS (SELECT 1 FROM opa_users u JOIN last_pull l ON u.pull = l.pull
                  WHERE u.id = c.opa_id AND u.key = c.key AND u.service = 0);

INSERT INTO carriers (key, opa_id, name, carried_since, carried_until, active_until)
SELECT u.key, u.id, u.name, u.pull, NULL, iif(u.status_rank = 0, NULL, 0)
FROM last_pull l CROSS JOIN opa_users u ON u.pull = l.pull
LEFT JOIN carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.key IS NOT NULL AND u.service = 0
  AND (c.key IS NULL OR c.carried_until IS NOT NULL OR c.name <> u.name
       OR (u.status_rank = 0 AND c.active_until IS NOT NULL))
ON CONFLICT (key, opa_id) DO UPDATE SET
    name = excluded.name,
    carried_since = iif(carriers.carried_until IS NULL, carriers.carried_since, excluded.carried_since),
    carried_until = NULL,
    active_until = iif(excluded.active_until IS NULL, NULL, active_until);

INSERT INTO known_roles (opsera_id, role, source, at)
SELECT a.id, c.role, 'created', c.at
FROM created_roles c JOIN opsera_accounts a ON a.key = c.key JOIN last_pull l ON l.pull = a.pull
WHERE true ON CONFLICT DO NOTHING;

DELETE FROM created_roles AS c
WHERE EXISTS (SELECT 1 FROM opsera_accounts a JOIN last_pull l ON l.pull = a.pull WHERE a.key = c.key);

UPDATE runs SET remembered = 1 WHERE seq IN (SELECT pull FROM last_pull);

DROP TABLE last_pull;

-- What the last pull of an older version left: the next pull reads it all again.
DROP TABLE unclaimed_people;
DROP TABLE unreadable_memberships;
DROP TABLE opa_users;
DROP TABLE opa_groups;
DROP TABLE memberships;
DROP TABLE opsera_accounts;
