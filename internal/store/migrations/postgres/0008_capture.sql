-- +goose Up

-- Mail that the capture mailbox caught. sealed holds it as it came; sender,
-- recipients and subject stand beside it for the list and the search.
CREATE TABLE capture_mail (
    id         TEXT    NOT NULL PRIMARY KEY,
    at         BIGINT  NOT NULL,
    sender     TEXT    NOT NULL,
    recipients TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    size       BIGINT  NOT NULL,
    has_html   BOOLEAN NOT NULL,
    sealed     BYTEA NOT NULL
);
