-- +goose Up

-- The server that a letter should leave through, what caused it, when its
-- current attempt began, when it was done with (0 while it is on its way), whose
-- server the last attempt was at, which may be the one that stands in, how many
-- earlier attempts count, how many claims were given back unbegun, and what came
-- back for it later.
--
-- The table is made anew: SQLite makes a list of states into a table of its own
-- for each letter that it checks, which was a fifth of the cost of adding one;
-- states that are compared one by one cost nothing. Attempts wait beside it
-- meanwhile. The one that a letter is at stands in its own row from now on.
CREATE TABLE outbox_attempt_old AS SELECT * FROM outbox_attempt;
DROP TABLE outbox_attempt;
CREATE TABLE outbox_letter_new (
    id          TEXT   NOT NULL PRIMARY KEY,
    message_id  TEXT   NOT NULL UNIQUE,
    kind        TEXT   NOT NULL,
    class       BIGINT NOT NULL,
    user_id     TEXT   NOT NULL,
    to_address  TEXT   NOT NULL,
    to_name     TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    sealed      BLOB NOT NULL,
    sender      TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state = 'queued' OR state = 'sending' OR state = 'deferred' OR state = 'uncertain'
        OR state = 'accepted' OR state = 'failed' OR state = 'expired' OR state = 'cancelled'),
    maybe_sent  BOOLEAN NOT NULL,
    merged      BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    added_at    BIGINT NOT NULL,
    not_before  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    stage       TEXT   NOT NULL,
    code        BIGINT NOT NULL,
    enhanced    TEXT   NOT NULL,
    reply       TEXT   NOT NULL,
    advice      TEXT   NOT NULL,
    queue_id    TEXT   NOT NULL,
    server      TEXT   NOT NULL,
    route       TEXT   NOT NULL DEFAULT 'main',
    taken_by    TEXT   NOT NULL DEFAULT '',
    trace       TEXT   NOT NULL DEFAULT '',
    began_at    BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0,
    tries       BIGINT NOT NULL DEFAULT 0,
    unbegun     BIGINT NOT NULL DEFAULT 0,
    bounced_at  BIGINT NOT NULL DEFAULT 0,
    bounce      TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX outbox_attempt_of ON outbox_attempt_old (letter_id);
INSERT INTO outbox_letter_new (id, message_id, kind, class, user_id, to_address, to_name, subject, sealed, sender, state, maybe_sent, merged,
        attempt, added_at, not_before, expires_at, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server,
        began_at, ended_at, tries)
    SELECT id, message_id, kind, class, user_id, to_address, to_name, subject, sealed, sender, state, maybe_sent, merged,
        attempt, added_at, not_before, expires_at, lease_until, changed_at, stage, code, enhanced, reply, advice, queue_id, server,
        COALESCE((SELECT MAX(a.began_at) FROM outbox_attempt_old a WHERE a.letter_id = outbox_letter.id), 0),
        CASE WHEN state IN ('accepted', 'failed', 'expired', 'cancelled') THEN changed_at ELSE 0 END,
        (SELECT COUNT(*) FROM outbox_attempt_old a WHERE a.letter_id = outbox_letter.id AND a.ended_at > 0 AND a.state <> 'queued')
    FROM outbox_letter;
DROP TABLE outbox_letter;
ALTER TABLE outbox_letter_new RENAME TO outbox_letter;
CREATE INDEX outbox_letter_by_user ON outbox_letter (user_id, kind, added_at);
CREATE INDEX outbox_letter_by_recipient ON outbox_letter (to_address, kind, added_at);
CREATE INDEX outbox_letter_by_change ON outbox_letter (changed_at, state);

CREATE TABLE outbox_attempt (
    letter_id TEXT   NOT NULL REFERENCES outbox_letter (id) ON DELETE CASCADE,
    attempt   BIGINT NOT NULL,
    began_at  BIGINT NOT NULL,
    ended_at  BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    stage     TEXT   NOT NULL,
    code      BIGINT NOT NULL,
    enhanced  TEXT   NOT NULL,
    reply     TEXT   NOT NULL,
    advice    TEXT   NOT NULL,
    server    TEXT   NOT NULL,
    PRIMARY KEY (letter_id, attempt)
);
INSERT INTO outbox_attempt (letter_id, attempt, began_at, ended_at, state, stage, code, enhanced, reply, advice, server)
    SELECT letter_id, attempt, began_at, ended_at, state, stage, code, enhanced, reply, advice, server FROM outbox_attempt_old WHERE ended_at <> 0;
DROP TABLE outbox_attempt_old;

-- The queue of each server in the order in which it leaves. A claim changes
-- nothing that is in an index.
CREATE INDEX outbox_letter_queue ON outbox_letter (route, class, added_at, id) WHERE ended_at = 0;
CREATE INDEX outbox_letter_expiry ON outbox_letter (expires_at) WHERE ended_at = 0;

-- Whether letters may leave through a server. Once it has been closed for
-- cover_after microseconds the other one stands in for it; -1 is never.
ALTER TABLE outbox_gate RENAME TO outbox_gate_one;
CREATE TABLE outbox_gate (
    id          TEXT    NOT NULL PRIMARY KEY CHECK (id IN ('main', 'second')),
    open        BOOLEAN NOT NULL,
    reason      TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    since       BIGINT  NOT NULL,
    cover_after BIGINT  NOT NULL DEFAULT -1
);
INSERT INTO outbox_gate (id, open, reason, detail, since) SELECT 'main', open, reason, detail, since FROM outbox_gate_one;
DROP TABLE outbox_gate_one;
