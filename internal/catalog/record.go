package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"ingot/internal/image"
)

// record is a row of the table image.
type record struct {
	image.Image
	removed bool // by its owner; what is left is there to be refused a second time
}

const imageColumns = `i.id, i.account_id, i.name, i.type, i.distribution, i.description, i.slug, i.kind, i.public,
	i.status, i.error_message, i.regions, i.tags, i.guest_size, i.data_size, i.digest, i.created_at,
	i.removed_at IS NOT NULL`

func scanImage(scan func(...any) error) (record, error) {
	var r record
	var slug sql.NullString
	var regions, tags string
	var created int64
	err := scan(&r.ID, &r.AccountID, &r.Name, &r.Type, &r.Distribution, &r.Description, &slug, &r.Kind, &r.Public,
		&r.Status, &r.ErrorMessage, &regions, &tags, &r.GuestSize, &r.DataSize, &r.Digest, &created, &r.removed)
	if err != nil {
		return r, err
	}
	r.Slug = slug.String
	r.CreatedAt = seconds(created)
	if r.Regions, err = fromJSON(regions); err != nil {
		return r, err
	}
	r.Tags, err = fromJSON(tags)
	return r, err
}

// getImage reads one row; sql.ErrNoRows if there is none.
func getImage(ctx context.Context, t *tx, id int64) (record, error) {
	return scanImage(t.row(ctx, `SELECT `+imageColumns+` FROM image i WHERE i.id = $1`, id).Scan)
}

// seenBy returns the image as an account may see it. Whoever asks for what he may not see gets image.ErrNotFound, as
// for what does not exist. The tags of a public image are its owner's business.
func (r record) seenBy(account int64) (image.Image, error) {
	if r.removed || !r.Public && r.AccountID != account {
		return image.Image{}, image.ErrNotFound
	}
	if r.AccountID != account {
		r.Tags = []string{}
	}
	return r.Image, nil
}

// seconds turns a stored time into one of the API's resolution.
func seconds(ms int64) time.Time { return fromMillis(ms).Truncate(time.Second) }

// fromMillis turns a stored time, milliseconds since 1970, into a time; 0 is the zero time.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func toJSON(list []string) string {
	if list == nil {
		list = []string{}
	}
	b, _ := json.Marshal(list) // strings always can be
	return string(b)
}

func fromJSON(text string) ([]string, error) {
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("a list in the database cannot be read: %w", err)
	}
	return list, nil
}
