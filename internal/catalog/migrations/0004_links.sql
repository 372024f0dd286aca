-- Links to images that are signed. The words in double braces are explained in dialect.go.

-- +goose Up

-- What signs the links to an image. It is made with the first link and goes with the image, and all its links with it.
CREATE TABLE link_key (
    image_id BIGINT PRIMARY KEY REFERENCES image (id),
    key      {{bytes}} NOT NULL
);
