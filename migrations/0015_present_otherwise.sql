-- The records of the latest pull that the memory has learnt which were there in another way than
-- ACTIVE under a key: ACTIVE without a usable address, or with a status that this program does not
-- know. Who of them is DISABLED or DELETED in the next pull has left since (§4, last paragraph).
CREATE TABLE present_otherwise (
    opa_id  TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
