-- From when on a workspace that was removed may be erased; nobody finds it
-- before either. NULL where it was not removed.
ALTER TABLE workspaces ADD COLUMN erase_after BIGINT;
