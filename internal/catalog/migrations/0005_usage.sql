-- +goose Up

-- An account's images by id: what they hold is listed in this order.
CREATE INDEX image_account ON image (account_id, id) WHERE removed_at IS NULL AND status <> 'deleted';
