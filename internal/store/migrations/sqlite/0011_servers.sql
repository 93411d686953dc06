-- +goose Up

-- There may be a second mail server beside the first one, which was 'active'
-- before, and each may be asked to pass letters with links on over TLS only. 'between' is where a profile is while the two change places. Dropping a
-- table deletes what refers to it, so that this waits outside meanwhile.
CREATE TABLE mail_profile_next (
    id               TEXT    NOT NULL PRIMARY KEY,
    slot             TEXT    NOT NULL UNIQUE CHECK (slot IN ('main', 'second', 'between')),
    kind             TEXT    NOT NULL,
    host             TEXT    NOT NULL,
    port             BIGINT  NOT NULL,
    security         TEXT    NOT NULL,
    sender_address   TEXT    NOT NULL,
    sender_name      TEXT    NOT NULL,
    reply_to         TEXT    NOT NULL,
    auth             TEXT    NOT NULL,
    username         TEXT    NOT NULL,
    account_id       TEXT    NOT NULL,
    mechanism        TEXT    NOT NULL,
    local_name       TEXT    NOT NULL,
    connect_ms       BIGINT  NOT NULL,
    greeting_ms      BIGINT  NOT NULL,
    command_ms       BIGINT  NOT NULL,
    final_ms         BIGINT  NOT NULL,
    clear_confirmed  BOOLEAN NOT NULL,
    sealed           BLOB    NOT NULL,
    password_set_at  BIGINT  NOT NULL,
    revision         BIGINT  NOT NULL,
    changed_at       BIGINT  NOT NULL,
    changed_by       TEXT    NOT NULL,
    tested_at        BIGINT  NOT NULL,
    server_cert_ends BIGINT  NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('working', 'paused', 'stopped')),
    problem          TEXT    NOT NULL,
    reason           TEXT    NOT NULL,
    advice           TEXT    NOT NULL,
    command          TEXT    NOT NULL,
    reply            TEXT    NOT NULL,
    since            BIGINT  NOT NULL,
    probes           BIGINT  NOT NULL,
    next_probe_at    BIGINT  NOT NULL,
    problem_secret   BIGINT  NOT NULL,
    last_accepted_at BIGINT  NOT NULL,
    remedy           TEXT    NOT NULL DEFAULT '',
    link             TEXT    NOT NULL DEFAULT '',
    connections      BIGINT  NOT NULL DEFAULT 0,
    per_minute       BIGINT  NOT NULL DEFAULT 0,
    per_day          BIGINT  NOT NULL DEFAULT 0,
    require_tls      BOOLEAN NOT NULL DEFAULT false
);
INSERT INTO mail_profile_next (id, slot,
    kind, host, port, security, sender_address, sender_name, reply_to, auth, username, account_id, mechanism, local_name,
    connect_ms, greeting_ms, command_ms, final_ms, clear_confirmed, sealed, password_set_at, revision, changed_at, changed_by,
    tested_at, server_cert_ends, state, problem, reason, advice, command, reply, since, probes, next_probe_at, problem_secret,
    last_accepted_at, remedy, link, connections, per_minute, per_day)
SELECT id, 'main',
    kind, host, port, security, sender_address, sender_name, reply_to, auth, username, account_id, mechanism, local_name,
    connect_ms, greeting_ms, command_ms, final_ms, clear_confirmed, sealed, password_set_at, revision, changed_at, changed_by,
    tested_at, server_cert_ends, state, problem, reason, advice, command, reply, since, probes, next_probe_at, problem_secret,
    last_accepted_at, remedy, link, connections, per_minute, per_day FROM mail_profile;
CREATE TABLE mail_anchor_kept AS SELECT profile_id, fingerprint, mode, der, added_by, added_at FROM mail_anchor;
CREATE TABLE mail_oauth_kept AS SELECT profile_id, provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url,
    scopes, mailbox, redirect_path, via, graph_url, sealed, secret_set_at, secret_ends FROM mail_oauth;
DROP TABLE mail_profile;
ALTER TABLE mail_profile_next RENAME TO mail_profile;
DELETE FROM mail_anchor;
DELETE FROM mail_oauth;
INSERT INTO mail_anchor (profile_id, fingerprint, mode, der, added_by, added_at)
    SELECT profile_id, fingerprint, mode, der, added_by, added_at FROM mail_anchor_kept;
INSERT INTO mail_oauth (profile_id, provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url,
    scopes, mailbox, redirect_path, via, graph_url, sealed, secret_set_at, secret_ends)
    SELECT profile_id, provider, cloud, grant_type, tenant, client_id, client_auth, authorize_url, token_url,
        scopes, mailbox, redirect_path, via, graph_url, sealed, secret_set_at, secret_ends FROM mail_oauth_kept;
DROP TABLE mail_anchor_kept;
DROP TABLE mail_oauth_kept;

UPDATE mail_revision SET slot = 'main' WHERE slot = 'active';

-- The server that a sign-in is for. Those under way begin anew.
DELETE FROM mail_consent;
ALTER TABLE mail_consent ADD COLUMN slot TEXT NOT NULL DEFAULT 'main';

-- The domains of recipients whose letters leave through the second server.
-- "*.example.org" are all domains below example.org.
CREATE TABLE mail_route (
    domain   TEXT   NOT NULL PRIMARY KEY,
    slot     TEXT   NOT NULL CHECK (slot = 'second'),
    added_by TEXT   NOT NULL,
    added_at BIGINT NOT NULL
);

-- Since when it is known and told that the other server stands in for one; and
-- when the routes changed last.
CREATE TABLE mail_standin (
    slot     TEXT   NOT NULL PRIMARY KEY CHECK (slot IN ('main', 'second')),
    began_at BIGINT NOT NULL
);

CREATE TABLE mail_routing (
    id         TEXT   NOT NULL PRIMARY KEY CHECK (id = 'routing'),
    changed_at BIGINT NOT NULL
);
