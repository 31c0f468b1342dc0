-- The people of past reports (§10), kept by difference: the rows of a report are cut into parts, and
-- a part that several runs have in common is kept once. A run whose report is that of the run before
-- it adds nothing.

-- Some tens of rows of a report, compressed.
CREATE TABLE report_parts (
    id      INTEGER PRIMARY KEY,
    -- SHA-256 of the rows as they were before they were compressed.
    digest  BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    rows    BLOB NOT NULL
) STRICT;

-- The rows of a whole report: its parts in their order.
CREATE TABLE report_rows (
    id      INTEGER PRIMARY KEY,
    -- SHA-256 of the digests of its parts.
    digest  BLOB NOT NULL UNIQUE CHECK (length(digest) = 32)
) STRICT;

CREATE TABLE report_row_parts (
    report_rows  INTEGER NOT NULL REFERENCES report_rows (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    part         INTEGER NOT NULL REFERENCES report_parts (id),
    PRIMARY KEY (report_rows, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX report_row_parts_by_part ON report_row_parts (part);

-- Null: the run has not ended, or ended in a version that kept no people.
ALTER TABLE runs ADD COLUMN report_rows INTEGER REFERENCES report_rows (id);

CREATE INDEX runs_by_report_rows ON runs (report_rows) WHERE report_rows IS NOT NULL;

-- What no run needs any more goes with the last one that needed it.
CREATE TRIGGER runs_give_up_rows AFTER DELETE ON runs WHEN OLD.report_rows IS NOT NULL
BEGIN
    DELETE FROM report_rows WHERE id = OLD.report_rows
        AND NOT EXISTS (SELECT 1 FROM runs WHERE report_rows = OLD.report_rows);
END;

CREATE TRIGGER runs_change_rows AFTER UPDATE OF report_rows ON runs
WHEN OLD.report_rows IS NOT NULL AND NEW.report_rows IS NOT OLD.report_rows
BEGIN
    DELETE FROM report_rows WHERE id = OLD.report_rows
        AND NOT EXISTS (SELECT 1 FROM runs WHERE report_rows = OLD.report_rows);
END;

CREATE TRIGGER report_rows_give_up_parts AFTER DELETE ON report_row_parts
BEGIN
    DELETE FROM report_parts WHERE id = OLD.part
        AND NOT EXISTS (SELECT 1 FROM report_row_parts WHERE part = OLD.part);
END;
