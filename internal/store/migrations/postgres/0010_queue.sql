-- +goose Up

-- The server that a letter should leave through, what caused it, when its
-- current attempt began, when it was done with (0 while it is on its way), how
-- many earlier attempts count, how many claims were given back unbegun, and what
-- came back for it later.
ALTER TABLE outbox_letter ADD COLUMN route TEXT NOT NULL DEFAULT 'main';
ALTER TABLE outbox_letter ADD COLUMN taken_by TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_letter ADD COLUMN trace TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_letter ADD COLUMN began_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_letter ADD COLUMN ended_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_letter ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_letter ADD COLUMN unbegun BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_letter ADD COLUMN bounced_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox_letter ADD COLUMN bounce TEXT NOT NULL DEFAULT '';

UPDATE outbox_letter SET ended_at = changed_at WHERE state IN ('accepted', 'failed', 'expired', 'cancelled');
UPDATE outbox_letter SET tries = (SELECT COUNT(*) FROM outbox_attempt a WHERE a.letter_id = outbox_letter.id AND a.ended_at > 0 AND a.state <> 'queued')
    WHERE attempt > 0;

-- The attempt that a letter is at stands in its own row from now on.
UPDATE outbox_letter SET began_at = COALESCE((SELECT MAX(a.began_at) FROM outbox_attempt a WHERE a.letter_id = outbox_letter.id), 0) WHERE attempt > 0;
DELETE FROM outbox_attempt WHERE ended_at = 0;

-- The queue of each server in the order in which it leaves. A claim changes
-- nothing that is in an index.
DROP INDEX outbox_letter_queue;
CREATE INDEX outbox_letter_queue ON outbox_letter (route, class, added_at, id) WHERE ended_at = 0;
CREATE INDEX outbox_letter_expiry ON outbox_letter (expires_at) WHERE ended_at = 0;

-- Whether letters may leave through a server. Once it has been closed for
-- cover_after microseconds the other one stands in for it; -1 is never.
ALTER TABLE outbox_gate DROP CONSTRAINT outbox_gate_id_check;
UPDATE outbox_gate SET id = 'main';
ALTER TABLE outbox_gate ADD CONSTRAINT outbox_gate_id_check CHECK (id IN ('main', 'second'));
ALTER TABLE outbox_gate ADD COLUMN cover_after BIGINT NOT NULL DEFAULT -1;
