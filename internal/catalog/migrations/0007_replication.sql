-- Copies of images in other stores. The words in double braces are explained in dialect.go.

-- +goose Up

-- The transfer of an image to a region that keeps its images in another store, which is also the job, as import is.
CREATE TABLE replication (
    action_id     BIGINT PRIMARY KEY REFERENCES action (id),
    image_id      BIGINT NOT NULL REFERENCES image (id),
    account_id    BIGINT NOT NULL REFERENCES account (id), -- that has the image; it cannot change hands meanwhile
    region        TEXT NOT NULL REFERENCES region (slug),
    store_id      BIGINT NOT NULL REFERENCES store (id),   -- the region's; it keeps that meanwhile
    state         TEXT NOT NULL,                           -- queued, running, done, failed, cancelled
    attempts      BIGINT NOT NULL DEFAULT 0,
    broken        BIGINT NOT NULL DEFAULT 0,
    lease         TEXT NOT NULL DEFAULT '',
    lease_ms      BIGINT NOT NULL DEFAULT 0,
    lease_until   BIGINT NOT NULL DEFAULT 0,
    worker        TEXT NOT NULL DEFAULT '',
    not_before    BIGINT NOT NULL DEFAULT 0,
    progress      TEXT NOT NULL DEFAULT '{}',
    error_code    TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    updated_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX replication_unfinished ON replication (image_id, region) WHERE state = 'queued' OR state = 'running';
CREATE INDEX replication_queued ON replication (action_id) WHERE state = 'queued';
CREATE INDEX replication_running ON replication (lease_until) WHERE state = 'running';

-- What pins, and what writes objects, is a job: an import by its image's id, a replication by its action's id, negative.
-- So the column import_id, here and in object, refers to no one table.
CREATE TABLE pin_of_jobs (
    import_id BIGINT NOT NULL,
    object_id BIGINT NOT NULL REFERENCES object (id),
    PRIMARY KEY (import_id, object_id)
) {{without rowid}};
INSERT INTO pin_of_jobs (import_id, object_id) SELECT import_id, object_id FROM pin;
DROP TABLE pin;
ALTER TABLE pin_of_jobs RENAME TO pin;
CREATE INDEX pin_object ON pin (object_id);
