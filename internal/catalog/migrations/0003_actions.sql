-- What is done with images beside their import. The words in double braces are explained in dialect.go.

-- +goose Up

-- What was asked of an image. Rows are never deleted, so that number counts an account's actions without a gap: the
-- last one is the total of its list, and a page of it is a range.
CREATE TABLE action (
    id           {{serial}},
    account_id   BIGINT NOT NULL REFERENCES account (id),
    number       BIGINT NOT NULL, -- from 1, within the account
    image_id     BIGINT NOT NULL REFERENCES image (id),
    type         TEXT NOT NULL,   -- transfer, convert
    status       TEXT NOT NULL,   -- in-progress, completed, errored
    region       TEXT NOT NULL,
    started_at   BIGINT NOT NULL,
    completed_at BIGINT NOT NULL, -- 0: not yet
    UNIQUE (account_id, number)
);
CREATE INDEX action_image ON action (image_id, account_id, id);

-- An image that is offered to another account. One offer of an image waits at a time.
CREATE TABLE transfer (
    id              {{serial}},
    image_id        BIGINT NOT NULL REFERENCES image (id),
    sender_id       BIGINT NOT NULL REFERENCES account (id),
    recipient_email TEXT NOT NULL, -- in lower case; '' where the account is named by its UUID
    recipient_uuid  TEXT NOT NULL,
    state           TEXT NOT NULL, -- pending, accepted, cancelled, declined
    created_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX transfer_pending ON transfer (image_id) WHERE state = 'pending';

-- What an image becomes when its import has ended well, by the operator's wish.
CREATE TABLE publication (
    image_id BIGINT PRIMARY KEY REFERENCES image (id),
    slug     TEXT NOT NULL,
    kind     TEXT NOT NULL,
    type     TEXT NOT NULL,
    regions  TEXT NOT NULL,    -- JSON; beside that of the import
    source   {{bytes}} NOT NULL -- SHA-256 of the URL, which is not kept: has a catalogue's entry changed?
);
CREATE INDEX publication_slug ON publication (slug, image_id);

CREATE INDEX idempotency_image ON idempotency (image_id);
