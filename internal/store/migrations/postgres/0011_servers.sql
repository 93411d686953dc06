-- +goose Up

-- There may be a second mail server beside the first one, which was 'active'
-- before. 'between' is where a profile is while the two change places.
ALTER TABLE mail_profile DROP CONSTRAINT mail_profile_slot_check;
UPDATE mail_profile SET slot = 'main' WHERE slot = 'active';
ALTER TABLE mail_profile ADD CONSTRAINT mail_profile_slot_check CHECK (slot IN ('main', 'second', 'between'));

-- A server may be asked to pass letters with links on over TLS only.
ALTER TABLE mail_profile ADD COLUMN require_tls BOOLEAN NOT NULL DEFAULT false;

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
