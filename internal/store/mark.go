package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"ingot/internal/refusal"
)

// markFolder has the objects by which stores are known again: empty ones, named by the service that the store belongs
// to and a word that only one store has.
const markFolder = "mark"

// Marks is where a service remembers the mark of a store.
type Marks interface {
	// ServiceID names the service.
	ServiceID(ctx context.Context) (string, error)
	// StoreMark returns the name of a store's mark, "" if it has none yet.
	StoreMark(ctx context.Context, id int64) (string, error)
	// MarkedStore returns the store that has a mark, 0 if none has.
	MarkedStore(ctx context.Context, mark string) (id int64, err error)
	// KeepStoreMark keeps the mark of a store that has none, and returns the one that it has.
	KeepStoreMark(ctx context.Context, id int64, mark string) (string, error)
}

// Recognise makes sure that a place is the one that a service knows as the store with this id; one that nobody has
// used is marked. Another place, and one that belongs to another service, is a *refusal.Error, which names the place as
// the operator does. Several processes may do this at once: the mark that is remembered first is the store's, and who
// has marked another place meanwhile is refused.
func Recognise(ctx context.Context, objects Objects, marks Marks, id int64, place string) error {
	mark, err := marks.StoreMark(ctx, id)
	if err != nil {
		return err
	}
	if mark == "" {
		if mark, err = claim(ctx, objects, marks, id, place); err != nil {
			return err
		}
	}
	_, err = objects.Stat(ctx, mark)
	if errors.Is(err, fs.ErrNotExist) {
		return refusal.New("store_differs", "What is at %s is not the store that the database knows by that name: it has no object %s. A folder must be named by an "+
			"absolute path and be the same one for every process. If it is the store and only that object was lost, make it again, empty.", place, mark)
	}
	return err
}

// claim marks a place that the service has not used before. It looks for others before it does and once more after, so
// that of two services that do this at once at most one goes on.
func claim(ctx context.Context, objects Objects, marks Marks, id int64, place string) (string, error) {
	service, err := marks.ServiceID(ctx)
	if err != nil {
		return "", err
	}
	if err := vacant(ctx, objects, marks, service, id, place); err != nil {
		return "", err
	}
	mine := markFolder + "/" + service + "-" + strings.ToLower(rand.Text())
	w, err := objects.Create(ctx, mine)
	if err != nil {
		return "", err
	}
	if err := w.Commit(); err != nil {
		return "", fmt.Errorf("the store at %s cannot be written to: %w", place, err)
	}
	if err := vacant(ctx, objects, marks, service, id, place); err != nil {
		return "", errors.Join(err, objects.Delete(ctx, mine))
	}
	mark, err := marks.KeepStoreMark(ctx, id, mine)
	if err == nil && mark != mine {
		err = objects.Delete(ctx, mine)
	}
	return mark, err
}

// vacant refuses a place that belongs to another service, or that this one knows as another store. A mark of this
// service that no store has is left by a start that was cut off, or another process's that starts now.
func vacant(ctx context.Context, objects Objects, marks Marks, service string, id int64, place string) error {
	for o, err := range objects.List(ctx, markFolder) {
		if err != nil {
			return err
		}
		if !strings.HasPrefix(path.Base(o.Name), service+"-") {
			return refusal.New("store_taken", "The store at %s belongs to a service with another database: it has the object %s. Two services on one store would delete "+
				"each other's images: start this one with that service's --database, or with a store of its own.", place, o.Name)
		}
		other, err := marks.MarkedStore(ctx, o.Name)
		if err != nil {
			return err
		}
		if other != 0 && other != id {
			return refusal.New("store_known", "What is at %s is a store that the database knows by another URL. Name it as before: "+
				"by two names it would be two stores, and a repair of one would take the other's objects for nobody's.", place)
		}
	}
	return nil
}

// anyMark returns a mark that a place has, always the same one, "" if it has none.
func anyMark(ctx context.Context, objects Objects) (mark string, err error) {
	for o, err := range objects.List(ctx, markFolder) {
		if err != nil {
			return "", err
		}
		if mark == "" || o.Name < mark {
			mark = o.Name
		}
	}
	return mark, nil
}
