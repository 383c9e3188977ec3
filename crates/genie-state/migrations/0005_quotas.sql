-- What a key may use at most, as JSON.
ALTER TABLE api_keys ADD COLUMN quotas TEXT NOT NULL DEFAULT '{}';
-- A key of the installation uses all workspaces.
CREATE INDEX usage_days_by_subject ON usage_days (subject, day);
