package catalog

import "context"

func manifestObject(ctx context.Context, t *tx, id int64) (string, error) { return "manifest-one", nil }
