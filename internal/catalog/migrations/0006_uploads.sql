-- Files that clients send in pieces. The words in double braces are explained in dialect.go.

-- +goose Up

-- The sizes of uploads that are not dead count in quota.bytes. dead: to be deleted, and nothing relies on it any more.
CREATE TABLE upload (
    id         TEXT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account (id),
    size       BIGINT NOT NULL,
    complete   BOOLEAN NOT NULL,
    dead       BOOLEAN NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX upload_account ON upload (account_id) WHERE NOT dead;
CREATE INDEX upload_ends ON upload (dead, expires_at);
