package api

import (
	"context"
	"net/http"
	"strconv"

	"ingot/internal/image"
)

// Offers hands snapshots from one account to another.
type Offers interface {
	OfferImage(ctx context.Context, account, id int64, o image.Offer) (transfer int64, err error)
	AcceptImage(ctx context.Context, account, id, transfer int64, uuid string) error
	CancelOffer(ctx context.Context, account, id, transfer int64) error
	DeclineOffer(ctx context.Context, account, id, transfer int64) error
}

// offerImage begins an account transfer.
func (a *API) offerImage(c *call) error {
	f, err := c.form()
	if err != nil {
		return err
	}
	o := image.Offer{RecipientEmail: f.text("recipient_email"), RecipientUUID: f.text("recipient_uuid")}
	if f.problem != nil {
		return f.problem
	}
	if err := o.Validate(); err != nil {
		return err
	}
	id, err := c.imageID()
	if err != nil {
		return err
	}
	transfer, err := a.catalog.OfferImage(c.ctx(), c.token.AccountID, id, o)
	if err != nil {
		return err
	}
	b := strconv.AppendInt(append(c.buffer(), `{"transfer_id":`...), transfer, 10)
	return c.json(http.StatusCreated, append(b, '}'))
}

func (a *API) acceptImage(c *call) error {
	f, err := c.form()
	if err != nil {
		return err
	}
	transfer, uuid := f.number("transfer_id"), f.text("recipient_uuid")
	switch {
	case f.problem != nil:
		return f.problem
	case uuid == "":
		return unprocessable("recipient_uuid is required: the UUID of your account, as GET /v2/account says.")
	}
	id, err := c.imageID()
	if err != nil {
		return err
	}
	if err := a.catalog.AcceptImage(c.ctx(), c.token.AccountID, id, transfer, uuid); err != nil {
		return err
	}
	c.WriteHeader(http.StatusCreated)
	return nil
}

func (a *API) cancelOffer(c *call) error { return c.endOffer(a.catalog.CancelOffer) }

func (a *API) declineOffer(c *call) error { return c.endOffer(a.catalog.DeclineOffer) }

func (c *call) endOffer(do func(ctx context.Context, account, id, transfer int64) error) error {
	f, err := c.form()
	if err != nil {
		return err
	}
	transfer := f.number("transfer_id")
	if f.problem != nil {
		return f.problem
	}
	id, err := c.imageID()
	if err != nil {
		return err
	}
	if err := do(c.ctx(), c.token.AccountID, id, transfer); err != nil {
		return err
	}
	c.WriteHeader(http.StatusNoContent)
	return nil
}
