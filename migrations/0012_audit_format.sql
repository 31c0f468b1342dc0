-- How the canonical JSON of an entry is written (docs/audit-format.md). What is there was written
-- in format 1 and keeps every byte. A log may go on in format 2, and never back: an entry in format
-- 1 after one in format 2 is refused.
ALTER TABLE audit ADD COLUMN format INTEGER NOT NULL DEFAULT 1 CHECK (format IN (1, 2));

DROP TRIGGER audit_only_continues;

-- Also refuses INSERT OR REPLACE over an entry: its number is never the next one.
CREATE TRIGGER audit_only_continues BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
  OR NEW.prev_hash IS NOT coalesce(
        (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1),
        '0000000000000000000000000000000000000000000000000000000000000000')
  OR NEW.at < (SELECT at FROM audit ORDER BY seq DESC LIMIT 1)
  OR NEW.format < (SELECT format FROM audit ORDER BY seq DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: an entry must continue the last one');
END;
