-- Packs that are compressed lightly, to be settled when there is time (see settle.go).

-- +goose Up

-- light: how many bytes of a pack's chunks were compressed lightly on the way in; 0 once it is settled. A live pack's
-- until is the end of the claim of whoever settles it.
ALTER TABLE object ADD COLUMN light BIGINT NOT NULL DEFAULT 0;
CREATE INDEX object_light ON object (store_id, id) WHERE light > 0;
