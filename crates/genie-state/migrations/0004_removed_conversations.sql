-- From when on a conversation that was removed may be erased; nobody finds it
-- before either. NULL where it was not removed.
ALTER TABLE conversations ADD COLUMN erase_after BIGINT;
CREATE INDEX conversations_due ON conversations (erase_after) WHERE erase_after IS NOT NULL;
