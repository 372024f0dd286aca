-- The chunk index (see chunks.go). The words in double braces are explained in dialect.go.

-- +goose Up

-- Objects of a store: packs and manifests. writing: registered before its first byte; live: durable, and what relies on
-- it says so in pin, manifest_pack or manifest; dead: nothing can rely on it any more, to be deleted.
CREATE TABLE object (
    id        {{serial}},
    store_id  BIGINT NOT NULL REFERENCES store (id),
    name      TEXT NOT NULL,
    kind      TEXT NOT NULL,             -- pack, manifest
    state     TEXT NOT NULL,             -- writing, live, dead
    size      BIGINT NOT NULL DEFAULT 0, -- 0 until live
    import_id BIGINT,                    -- its writer; null: a sweep
    lease     TEXT NOT NULL DEFAULT '',  -- under which it is written
    until     BIGINT NOT NULL DEFAULT 0, -- written by a sweep: given up then; dead: not forgotten before
    again     BIGINT NOT NULL DEFAULT 0, -- dead: not deleted before
    UNIQUE (store_id, name)
);
CREATE INDEX object_unsettled ON object (store_id, state, id) WHERE state <> 'live';

-- Where each chunk is. A row is there if and only if its pack is live.
CREATE TABLE chunk (
    store_id  BIGINT NOT NULL,
    digest    {{bytes}} NOT NULL, -- SHA-256
    object_id BIGINT NOT NULL,
    off       BIGINT NOT NULL,
    stored    INTEGER NOT NULL,
    length    INTEGER NOT NULL,
    codec     INTEGER NOT NULL,
    PRIMARY KEY (store_id, digest)
) {{without rowid}};
CREATE INDEX chunk_object ON chunk (object_id);

-- The packs that a running import relies on. Its end turns them into rows of manifest_pack, or drops them.
CREATE TABLE pin (
    import_id BIGINT NOT NULL REFERENCES import (image_id),
    object_id BIGINT NOT NULL REFERENCES object (id),
    PRIMARY KEY (import_id, object_id)
) {{without rowid}};
CREATE INDEX pin_object ON pin (object_id);

-- Published manifests: there is a row as long as image_region names it.
CREATE TABLE manifest (
    id         {{serial}},
    store_id   BIGINT NOT NULL REFERENCES store (id),
    digest     {{bytes}} NOT NULL,
    object_id  BIGINT NOT NULL UNIQUE REFERENCES object (id),
    guest_size BIGINT NOT NULL,
    data_size  BIGINT NOT NULL,
    UNIQUE (store_id, digest)
);

-- The packs that a manifest relies on, and how many stored bytes of each.
CREATE TABLE manifest_pack (
    manifest_id BIGINT NOT NULL REFERENCES manifest (id),
    object_id   BIGINT NOT NULL REFERENCES object (id),
    bytes       BIGINT NOT NULL,
    PRIMARY KEY (manifest_id, object_id)
) {{without rowid}};
CREATE INDEX manifest_pack_object ON manifest_pack (object_id);

-- Packs that something has let go of: the sweep looks at these alone. There may be several rows for one pack, so that
-- nobody who lets go waits for another.
CREATE TABLE loose (
    id        {{serial}},
    store_id  BIGINT NOT NULL,
    object_id BIGINT NOT NULL
);
CREATE INDEX loose_object ON loose (store_id, object_id);
