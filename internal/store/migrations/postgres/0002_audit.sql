-- +goose Up

-- One row for each thing that was done. Rows are only ever added.
CREATE TABLE audit_entry (
    seq         BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    actor_kind  TEXT   NOT NULL,
    actor_id    TEXT   NOT NULL,
    actor_login TEXT   NOT NULL,
    actor_name  TEXT   NOT NULL,
    door        TEXT   NOT NULL,
    from_addr   TEXT   NOT NULL,
    agent       TEXT   NOT NULL,
    request_id  TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    object_kind TEXT   NOT NULL,
    object_id   TEXT   NOT NULL,
    object_name TEXT   NOT NULL,
    outcome     TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    key_version BIGINT NOT NULL,
    mac         BYTEA  NOT NULL
);

CREATE INDEX audit_entry_by_actor ON audit_entry (actor_id, seq);
CREATE INDEX audit_entry_by_login ON audit_entry (actor_login, seq);
CREATE INDEX audit_entry_by_action ON audit_entry (action, seq);
CREATE INDEX audit_entry_by_object ON audit_entry (object_kind, object_id, seq);
CREATE INDEX audit_entry_by_time ON audit_entry (at, seq);

-- The end of the chain. One row.
CREATE TABLE audit_head (
    id          TEXT   NOT NULL PRIMARY KEY CHECK (id = 'head'),
    seq         BIGINT NOT NULL,
    entry_mac   BYTEA  NOT NULL,
    key_version BIGINT NOT NULL,
    mac         BYTEA  NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION audit_append_only() RETURNS trigger AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END;
$$ LANGUAGE plpgsql;
-- +goose StatementEnd

CREATE TRIGGER audit_entry_no_change BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
