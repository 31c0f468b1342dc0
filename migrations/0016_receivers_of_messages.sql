-- Messages go to several receivers: the webhook, and each address that gets e-mail. What one of them
-- was told says nothing of the others. Until now there was the webhook alone.

CREATE TABLE told_troubles_by_receiver (
    -- 'webhook', or 'mail:' and the address.
    receiver TEXT NOT NULL,
    -- 'failed', 'partial', 'refused', 'token', 'findings', or 'held:' and the plan.
    subject  TEXT NOT NULL,
    told_at  TEXT NOT NULL,
    PRIMARY KEY (receiver, subject)
) STRICT, WITHOUT ROWID;
INSERT INTO told_troubles_by_receiver (receiver, subject, told_at)
    SELECT 'webhook', subject, told_at FROM told_troubles;
DROP TABLE told_troubles;
ALTER TABLE told_troubles_by_receiver RENAME TO told_troubles;

CREATE TABLE told_findings_by_receiver (
    receiver TEXT NOT NULL,
    kind     TEXT NOT NULL,
    email    TEXT NOT NULL,
    seen_at  TEXT NOT NULL,
    PRIMARY KEY (receiver, kind, email)
) STRICT, WITHOUT ROWID;
INSERT INTO told_findings_by_receiver (receiver, kind, email, seen_at)
    SELECT 'webhook', kind, email, seen_at FROM told_findings;
DROP TABLE told_findings;
ALTER TABLE told_findings_by_receiver RENAME TO told_findings;
