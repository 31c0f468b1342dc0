-- Who decided, in words of their own, and plans that restore what a run changed.

-- The person a pipeline or a shared account decides for. Never instead of `decided_by`, which is
-- the operating system's user.
ALTER TABLE plans ADD COLUMN reviewer TEXT;

-- The run whose role changes the plan takes back (`rolecall undo`); null: a guard held the plan.
ALTER TABLE plans ADD COLUMN undoes TEXT;
