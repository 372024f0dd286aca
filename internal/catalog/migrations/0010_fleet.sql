-- What several processes, of several versions, agree on. The words in double braces are explained in dialect.go.

-- +goose Up

-- The oldest schema whose binaries can work on this one. A migration that only adds (tables, indexes, columns that have
-- a default or may be null) leaves it as it is; every other sets it to its own number.
CREATE TABLE compatible (
    oldest BIGINT NOT NULL
);
INSERT INTO compatible (oldest) VALUES (10);

-- service: names this database to stores. uploads: names the folder that the files of clients are in; '' for none.
CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- The object by which the store is known again; '' until a service has written it.
ALTER TABLE store ADD COLUMN mark TEXT NOT NULL DEFAULT '';
