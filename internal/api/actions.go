package api

import (
	"context"
	"net/http"
	"strconv"

	"ingot/internal/image"
)

// Actions does what is asked of images, and remembers it.
type Actions interface {
	// Act does what it can at once; the rest is queued, and the action in progress.
	Act(ctx context.Context, account, id int64, act image.Act) (image.Action, error)
	Action(ctx context.Context, account, id int64) (image.Action, error)
	Actions(ctx context.Context, account int64, p image.Page) ([]image.Action, int64, error)
	ImageActions(ctx context.Context, account, id int64, p image.Page) ([]image.Action, int64, error)
}

func (a *API) actOnImage(c *call) error {
	f, err := c.form()
	if err != nil {
		return err
	}
	act := image.Act{Type: image.ActionType(f.text("type")), Region: f.text("region")}
	if f.problem != nil {
		return f.problem
	}
	if err := act.Validate(a.regions); err != nil {
		return err
	}
	id, err := c.imageID()
	if err != nil {
		return err
	}
	done, err := a.catalog.Act(c.ctx(), c.token.AccountID, id, act)
	if err != nil {
		return err
	}
	if done.Status == image.InProgress {
		a.wake()
	}
	return c.action(http.StatusCreated, done)
}

func (a *API) listActions(c *call) error {
	q := query(c.r)
	page := pageOf(q)
	actions, total, err := a.catalog.Actions(c.ctx(), c.token.AccountID, page)
	if err != nil {
		return err
	}
	return list(c, "actions", q, page, actions, total, a.appendAction)
}

func (a *API) listImageActions(c *call) error {
	id, err := c.imageID()
	if err != nil {
		return err
	}
	q := query(c.r)
	page := pageOf(q)
	actions, total, err := a.catalog.ImageActions(c.ctx(), c.token.AccountID, id, page)
	if err != nil {
		return err
	}
	return list(c, "actions", q, page, actions, total, a.appendAction)
}

func (a *API) getAction(c *call) error {
	id, err := parseID(c.r.PathValue("action"))
	if err != nil {
		return err
	}
	done, err := a.catalog.Action(c.ctx(), c.token.AccountID, id)
	if err != nil {
		return err
	}
	return c.action(http.StatusOK, done)
}

func (a *API) getImageAction(c *call) error {
	of, err := c.imageID()
	if err != nil {
		return err
	}
	id, err := parseID(c.r.PathValue("action"))
	if err != nil {
		return err
	}
	done, err := a.catalog.Action(c.ctx(), c.token.AccountID, id)
	if err == nil && done.ImageID != of {
		err = image.ErrNotFound
	}
	if err != nil {
		return err
	}
	return c.action(http.StatusOK, done)
}

// action answers one action.
func (c *call) action(status int, a image.Action) error {
	b := c.api.appendAction(append(c.buffer(), `{"action":`...), &a)
	return c.json(status, append(b, '}'))
}

func (a *API) appendAction(b []byte, act *image.Action) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, act.ID, 10)
	b = append(b, `,"status":`...)
	b = appendString(b, string(act.Status))
	b = append(b, `,"type":`...)
	b = appendString(b, string(act.Type))
	b = append(b, `,"started_at":`...)
	b = appendTime(b, act.StartedAt)
	b = append(b, `,"completed_at":`...)
	b = appendTimeOrNull(b, act.CompletedAt)
	b = append(b, `,"resource_id":`...)
	b = strconv.AppendInt(b, act.ImageID, 10)
	b = append(b, `,"resource_type":"image","region":`...)
	b = a.appendRegionOf(b, act.Region)
	b = append(b, `,"region_slug":`...)
	return append(appendString(b, act.Region), '}')
}
