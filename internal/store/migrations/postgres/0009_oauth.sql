-- +goose Up

-- What a person does about a problem: sign in again, or change the settings.
ALTER TABLE mail_profile ADD COLUMN remedy TEXT NOT NULL DEFAULT '';

-- The provider's page about the problem.
ALTER TABLE mail_profile ADD COLUMN link TEXT NOT NULL DEFAULT '';

-- How fast letters leave; 0 is without a limit.
ALTER TABLE mail_profile ADD COLUMN connections BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mail_profile ADD COLUMN per_minute BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mail_profile ADD COLUMN per_day BIGINT NOT NULL DEFAULT 0;

-- How a profile that signs in with OAuth 2.0 gets its tokens. sealed holds what
-- proves the client, bound to the place that it may be used at.
CREATE TABLE mail_oauth (
    profile_id    TEXT   NOT NULL PRIMARY KEY REFERENCES mail_profile (id) ON DELETE CASCADE,
    provider      TEXT   NOT NULL,
    cloud         TEXT   NOT NULL,
    grant_type    TEXT   NOT NULL,
    tenant        TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    client_auth   TEXT   NOT NULL,
    authorize_url TEXT   NOT NULL,
    token_url     TEXT   NOT NULL,
    scopes        TEXT   NOT NULL,
    mailbox       TEXT   NOT NULL,
    redirect_path TEXT   NOT NULL,
    via           TEXT   NOT NULL CHECK (via IN ('smtp', 'graph')),
    graph_url     TEXT   NOT NULL,
    sealed        BYTEA   NOT NULL,
    secret_set_at BIGINT NOT NULL,
    secret_ends   BIGINT NOT NULL
);

-- The tokens of a profile, sealed together: the access token, the refresh token
-- and the one before it. version grows with each access token. One process at a
-- time asks for new ones: the holder of the lease. failures and failure tell how
-- often in a row it was refused, and what the authority said last.
CREATE TABLE mail_token (
    profile_id   TEXT   NOT NULL PRIMARY KEY,
    sealed       BYTEA   NOT NULL,
    version      BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    got_at       BIGINT NOT NULL,
    refresh_at   BIGINT NOT NULL,
    scopes       TEXT   NOT NULL,
    who          TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    signed_in_at BIGINT NOT NULL,
    signed_in_by TEXT   NOT NULL,
    lease        TEXT   NOT NULL,
    lease_until  BIGINT NOT NULL,
    retry_at     BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    failure      TEXT   NOT NULL
);

-- A sign-in at the authority that is under way. sealed holds the settings that
-- wait for it, its nonce and its verifier, and what came of it.
CREATE TABLE mail_consent (
    id         TEXT   NOT NULL PRIMARY KEY,
    state_hash TEXT   NOT NULL UNIQUE,
    session_id TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    sealed     BYTEA   NOT NULL,
    stage      TEXT   NOT NULL CHECK (stage IN ('begun', 'deciding', 'done')),
    expires_at BIGINT NOT NULL
);

-- The revision of the profile that was removed last; the next one goes on from
-- it.
CREATE TABLE mail_revision (
    slot     TEXT   NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- The pace of a profile over all nodes: next_at is when the next letter may
-- leave if none was spared, rest_until until when none leaves at all, both in
-- microseconds.
CREATE TABLE mail_pace (
    profile_id TEXT   NOT NULL PRIMARY KEY,
    next_at    BIGINT NOT NULL,
    rest_until BIGINT NOT NULL,
    told_at    BIGINT NOT NULL
);

-- The recipients that a profile has sent to, by the hour.
CREATE TABLE mail_sent (
    profile_id TEXT   NOT NULL,
    hour       BIGINT NOT NULL,
    recipients BIGINT NOT NULL,
    PRIMARY KEY (profile_id, hour)
);

-- The connections of a profile over all nodes.
CREATE TABLE mail_slot (
    profile_id TEXT   NOT NULL,
    slot       BIGINT NOT NULL,
    holder     TEXT   NOT NULL,
    until      BIGINT NOT NULL,
    PRIMARY KEY (profile_id, slot)
);

-- The reminders that were sent: one for each thing, each end and each number of
-- days before.
CREATE TABLE notify_reminder (
    what    TEXT   NOT NULL,
    ends_at BIGINT NOT NULL,
    days    BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    PRIMARY KEY (what, ends_at, days)
);

-- How far a follower of the audit log has read.
CREATE TABLE notify_cursor (
    name       TEXT   NOT NULL PRIMARY KEY,
    seq        BIGINT NOT NULL,
    failures   BIGINT NOT NULL,
    next_try   BIGINT NOT NULL
);
