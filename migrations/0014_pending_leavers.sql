-- What a pending leaver is asked for and told by once the OPA record is gone, or has lost its
-- details: "kept until it is gone" is about the account, not about the record (§4, last paragraph).
ALTER TABLE pending_leavers ADD COLUMN address TEXT;
ALTER TABLE pending_leavers ADD COLUMN name TEXT;

-- The account that Opsera showed last; null: nobody has seen one yet.
ALTER TABLE pending_leavers ADD COLUMN account TEXT;
