-- +goose Up

-- How long the journal keeps letters that are done with. One row, once
-- somebody chose.
CREATE TABLE outbox_setting (
    id        TEXT   NOT NULL PRIMARY KEY CHECK (id = 'delivery'),
    keep      BIGINT NOT NULL,
    revision  BIGINT NOT NULL
);

-- How long letters of a kind are tried, in microseconds, where that is not the
-- usual time.
CREATE TABLE outbox_lifetime (
    kind TEXT   NOT NULL PRIMARY KEY,
    life BIGINT NOT NULL
);

-- Letters by when they were done with: counts of a day, how long letters take,
-- and what the journal forgets. A letter enters once, at its end.
DROP INDEX IF EXISTS outbox_letter_by_change;
CREATE INDEX outbox_letter_by_end ON outbox_letter (ended_at, state) WHERE ended_at > 0;

-- The few that a search for their state would else look for among all, and those
-- of them that can be sent again.
CREATE INDEX outbox_letter_lost ON outbox_letter (state, id)
    WHERE state = 'failed' OR state = 'expired' OR state = 'cancelled';
CREATE INDEX outbox_letter_content ON outbox_letter (ended_at) WHERE state IN ('failed', 'expired') AND length(sealed) > 0;
CREATE INDEX outbox_letter_bounced ON outbox_letter (bounced_at) WHERE bounced_at > 0;

-- What a request caused. Ids begin with the time, so that both grow at one end.
CREATE INDEX outbox_letter_by_trace ON outbox_letter (trace) WHERE trace <> '';
CREATE INDEX audit_entry_by_request ON audit_entry (request_id, seq) WHERE request_id <> '';
