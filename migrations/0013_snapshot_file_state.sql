-- Size, inode and times of the two files when they were sealed, and the machine's start: as long as
-- they stay the same, nobody has written to the files, and they need not be read to know it. Null: it
-- was not noted, so the digest decides.
ALTER TABLE snapshots ADD COLUMN opa_state TEXT;
ALTER TABLE snapshots ADD COLUMN opsera_state TEXT;
