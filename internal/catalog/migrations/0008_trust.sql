-- What checks and backups write down. The words in double braces are explained in dialect.go.

-- +goose Up

-- damaged: a check found that what the manifest names is not all there. Nothing that it relies on is deleted all the same.
ALTER TABLE manifest ADD COLUMN damaged BOOLEAN NOT NULL DEFAULT FALSE;

-- Until when the objects up to this id stay where they are, whatever a sweep finds: a backup of the catalogue names them.
CREATE TABLE hold (
    id        {{serial}},
    reason    TEXT NOT NULL,
    object_id BIGINT NOT NULL,
    until     BIGINT NOT NULL
);
