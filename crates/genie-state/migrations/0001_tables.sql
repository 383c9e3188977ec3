-- Times are microseconds since 1970-01-01T00:00:00Z. NAME is text that is
-- compared byte by byte, whatever the language of the database.

-- Every name that was ever given. Nothing is removed here: the audit trail
-- speaks of a workspace by its name, so no other may have it.
CREATE TABLE workspace_names (
    id NAME NOT NULL PRIMARY KEY,
    given BIGINT NOT NULL
);

CREATE TABLE workspaces (
    id NAME NOT NULL PRIMARY KEY REFERENCES workspace_names (id),
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE settings_history (
    workspace NAME NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    author NAME NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (workspace, version)
);

CREATE TABLE members (
    workspace NAME NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    subject NAME NOT NULL,
    role NAME NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (workspace, subject)
);
CREATE INDEX members_by_subject ON members (subject);

CREATE TABLE api_keys (
    id NAME NOT NULL PRIMARY KEY,
    prefix NAME NOT NULL,
    hash NAME NOT NULL,
    name TEXT NOT NULL,
    workspace NAME REFERENCES workspaces (id) ON DELETE CASCADE,
    role NAME NOT NULL,
    scopes TEXT NOT NULL,
    author NAME NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    last_used BIGINT,
    revoked BIGINT
);
CREATE INDEX api_keys_by_prefix ON api_keys (prefix);
CREATE INDEX api_keys_by_workspace ON api_keys (workspace);

CREATE TABLE conversations (
    id NAME NOT NULL PRIMARY KEY,
    workspace NAME NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    subject NAME NOT NULL,
    title TEXT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    messages BIGINT NOT NULL
);
CREATE INDEX conversations_by_owner ON conversations (workspace, subject, changed);

CREATE TABLE messages (
    id NAME NOT NULL PRIMARY KEY,
    conversation NAME NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    place BIGINT NOT NULL,
    author NAME NOT NULL,
    body TEXT NOT NULL,
    language NAME,
    answer TEXT,
    at BIGINT NOT NULL,
    UNIQUE (conversation, place)
);

CREATE TABLE feedback (
    message NAME NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    subject NAME NOT NULL,
    workspace NAME NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    rating BIGINT,
    remark TEXT,
    wrong_citation BIGINT,
    at BIGINT NOT NULL,
    PRIMARY KEY (message, subject)
);
CREATE INDEX feedback_by_workspace ON feedback (workspace, at);

CREATE TABLE jobs (
    id NAME NOT NULL PRIMARY KEY,
    workspace NAME NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    kind NAME NOT NULL,
    subject NAME NOT NULL,
    content NAME NOT NULL,
    payload TEXT NOT NULL,
    state NAME NOT NULL,
    attempts BIGINT NOT NULL,
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    result TEXT,
    reason TEXT,
    worker NAME,
    -- From when on a worker may take it: of a queued job when it may begin, of
    -- a running one when its lease ends.
    due BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE INDEX jobs_by_workspace ON jobs (workspace, created);
CREATE INDEX jobs_due ON jobs (due) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_open ON jobs (workspace, kind, content)
    WHERE state IN ('queued', 'running');

CREATE TABLE usage_days (
    workspace NAME NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    day NAME NOT NULL,
    subject NAME NOT NULL,
    searches BIGINT NOT NULL,
    answers BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    documents BIGINT NOT NULL,
    PRIMARY KEY (workspace, day, subject)
);

-- The trail outlives the workspaces it speaks of, so nothing is referenced.
CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    subject NAME NOT NULL,
    workspace NAME,
    action NAME NOT NULL,
    object TEXT,
    outcome NAME NOT NULL,
    correlation TEXT NOT NULL,
    intent TEXT,
    model TEXT,
    logic TEXT NOT NULL,
    previous NAME NOT NULL,
    hash NAME NOT NULL
);
CREATE INDEX audit_by_workspace ON audit (workspace, sequence);

-- The last record, kept a second time: its row is what appending locks, and it
-- shows when records are missing at the end.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash NAME NOT NULL
);
INSERT INTO audit_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
