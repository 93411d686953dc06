-- +goose Up

-- People. sealed_password holds the password's argon2id hash, sealed; it is
-- empty until the user chose one. email_key is the address in lower case.
CREATE TABLE identity_user (
    id              TEXT   NOT NULL PRIMARY KEY,
    login           TEXT   NOT NULL UNIQUE,
    name            TEXT   NOT NULL,
    email           TEXT   NOT NULL,
    email_key       TEXT   NOT NULL UNIQUE,
    role            TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('invited', 'active', 'disabled')),
    sealed_password BLOB NOT NULL,
    password_at     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    last_sign_in    BIGINT NOT NULL,
    revision        BIGINT NOT NULL
);

CREATE INDEX identity_user_by_role ON identity_user (role, login);
CREATE INDEX identity_user_by_state ON identity_user (state, login);

-- One-time links: the SHA-256 of the token, one for each user and purpose.
CREATE TABLE identity_link (
    user_id    TEXT   NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    purpose    TEXT   NOT NULL CHECK (purpose IN ('invite', 'reset')),
    hash       BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, purpose)
);

-- One-time links to the set-up, while there is no user.
CREATE TABLE identity_setup_link (
    hash       BLOB NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Who is signed in, where. hash is the SHA-256 of the cookie.
CREATE TABLE identity_session (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    proved_at  BIGINT NOT NULL,
    from_addr  TEXT   NOT NULL,
    agent      TEXT   NOT NULL
);

CREATE INDEX identity_session_by_user ON identity_session (user_id, seen_at);
CREATE INDEX identity_session_by_seen ON identity_session (seen_at);

-- Browsers in which a user has signed in. hash is the SHA-256 of a cookie.
CREATE TABLE identity_device (
    user_id TEXT   NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- What the limiter remembers. key is a MAC, so that it tells no names.
CREATE TABLE identity_attempt (
    key          BLOB NOT NULL PRIMARY KEY,
    failures     BIGINT NOT NULL,
    last_at      BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);

CREATE INDEX identity_attempt_by_time ON identity_attempt (last_at);
