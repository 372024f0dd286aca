-- The words in double braces are explained in dialect.go. Times are milliseconds since 1970 of the database's clock.

-- +goose Up

CREATE TABLE account (
    id         {{serial}},
    uuid       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    email      TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- What an account may hold (0: no bound), and what it holds, kept with every change. This row is also the lock of the
-- account: whoever changes anything that belongs to an account locks it first.
CREATE TABLE quota (
    account_id  BIGINT PRIMARY KEY REFERENCES account (id),
    max_images  BIGINT NOT NULL,
    max_bytes   BIGINT NOT NULL,
    max_imports BIGINT NOT NULL,
    images      BIGINT NOT NULL DEFAULT 0, -- not deleted
    bytes       BIGINT NOT NULL DEFAULT 0, -- of guest data in these
    queued      BIGINT NOT NULL DEFAULT 0, -- imports
    running     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX quota_queued ON quota (account_id) WHERE queued > 0;

CREATE TABLE token (
    id         {{serial}},
    account_id BIGINT NOT NULL REFERENCES account (id),
    name       TEXT NOT NULL,
    hash       {{bytes}} NOT NULL UNIQUE, -- SHA-256 of the secret
    scopes     TEXT NOT NULL,             -- JSON
    created_at BIGINT NOT NULL,
    expires_at BIGINT,                    -- null: never
    revoked_at BIGINT
);
CREATE INDEX token_account ON token (account_id, id);

CREATE TABLE store (
    id  {{serial}},
    url TEXT NOT NULL UNIQUE
);

CREATE TABLE region (
    slug     TEXT PRIMARY KEY,
    store_id BIGINT NOT NULL REFERENCES store (id),
    active   BOOLEAN NOT NULL -- named by the service that started last
);

CREATE TABLE image (
    id            {{serial}},
    account_id    BIGINT NOT NULL REFERENCES account (id),
    name          TEXT NOT NULL,
    type          TEXT NOT NULL,
    distribution  TEXT NOT NULL,
    description   TEXT NOT NULL,
    slug          TEXT UNIQUE,
    kind          TEXT NOT NULL,
    public        BOOLEAN NOT NULL,
    status        TEXT NOT NULL,
    error_message TEXT NOT NULL,
    regions       TEXT NOT NULL, -- JSON, sorted; the same as in image_region, here to be read with the row
    tags          TEXT NOT NULL, -- JSON, sorted, in canonical spelling
    guest_size    BIGINT NOT NULL,
    data_size     BIGINT NOT NULL,
    digest        TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    removed_at    BIGINT         -- when its owner deleted it; a failed import is deleted by status and has null here
);

-- Where an image's content is: one row a region, one manifest a store.
CREATE TABLE image_region (
    image_id    BIGINT NOT NULL REFERENCES image (id),
    region      TEXT NOT NULL REFERENCES region (slug),
    store_id    BIGINT NOT NULL REFERENCES store (id),
    manifest_id BIGINT NOT NULL,
    PRIMARY KEY (image_id, region)
) {{without rowid}};
CREATE INDEX image_region_manifest ON image_region (manifest_id);

-- The import of an image, which is also the job.
CREATE TABLE import (
    image_id      BIGINT PRIMARY KEY REFERENCES image (id),
    account_id    BIGINT NOT NULL REFERENCES account (id),
    region        TEXT NOT NULL REFERENCES region (slug),
    state         TEXT NOT NULL,               -- queued, running, done, failed, cancelled
    url           TEXT,                        -- a secret; null once the import has ended
    source        TEXT NOT NULL,               -- the URL without its secrets
    attempts      BIGINT NOT NULL DEFAULT 0,   -- that came to an end, good or bad
    broken        BIGINT NOT NULL DEFAULT 0,   -- attempts whose worker died
    lease         TEXT NOT NULL DEFAULT '',    -- the fencing token of the last claim
    lease_ms      BIGINT NOT NULL DEFAULT 0,   -- how long it is valid without being renewed
    lease_until   BIGINT NOT NULL DEFAULT 0,
    worker        TEXT NOT NULL DEFAULT '',
    not_before    BIGINT NOT NULL DEFAULT 0,
    progress      TEXT NOT NULL DEFAULT '{}',  -- JSON, see progress.go
    error_code    TEXT NOT NULL DEFAULT '',    -- of the last attempt that failed
    error_message TEXT NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    started_at    BIGINT NOT NULL DEFAULT 0,
    updated_at    BIGINT NOT NULL,
    finished_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX import_queued ON import (account_id, image_id, not_before) WHERE state = 'queued';
CREATE INDEX import_running ON import (lease_until) WHERE state = 'running';

CREATE TABLE idempotency (
    account_id BIGINT NOT NULL REFERENCES account (id),
    key        {{bytes}} NOT NULL, -- SHA-256 of the header's bytes, which need not be text
    body_hash  {{bytes}} NOT NULL,
    image_id   BIGINT NOT NULL REFERENCES image (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, key)
) {{without rowid}};
CREATE INDEX idempotency_age ON idempotency (account_id, created_at);

CREATE TABLE tag (
    id         {{serial}},
    account_id BIGINT NOT NULL REFERENCES account (id),
    name       TEXT NOT NULL, -- as it was spelt first
    folded     TEXT NOT NULL, -- in lower case
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, folded)
);

-- Which images stand in which list, in the list's order. A list of the API is a walk along one shelf or two
-- (see shelf.go).
CREATE TABLE shelf (
    class    BIGINT NOT NULL,
    owner    BIGINT NOT NULL, -- an account's id, a tag's id, or 0
    image_id BIGINT NOT NULL,
    PRIMARY KEY (class, owner, image_id)
) {{without rowid}};

-- How many images stand on each stretch of a shelf: the total of a list, and the way to a page deep in it.
CREATE TABLE shelf_count (
    class BIGINT NOT NULL,
    owner BIGINT NOT NULL,
    block BIGINT NOT NULL, -- image_id / blockSize
    n     BIGINT NOT NULL,
    PRIMARY KEY (class, owner, block)
) {{without rowid}};
