package api

import (
	"context"
	"net/http"

	"ingot/internal/image"
)

// Accounts knows the accounts.
type Accounts interface {
	Account(ctx context.Context, id int64) (image.Account, error)
}

// getAccount answers the account of the token. There are no droplets and no addresses here, so it may have none.
func (a *API) getAccount(c *call) error {
	account, err := a.catalog.Account(c.ctx(), c.token.AccountID)
	if err != nil {
		return err
	}
	b := append(c.buffer(), `{"account":{"droplet_limit":0,"floating_ip_limit":0,"email":`...)
	b = appendString(b, account.Email)
	b = append(b, `,"uuid":`...)
	b = appendString(b, account.UUID)
	b = append(b, `,"email_verified":true,"status":"active","status_message":"","team":{"uuid":`...)
	b = appendString(b, account.UUID)
	b = append(b, `,"name":`...)
	b = appendString(b, account.Name)
	return c.json(http.StatusOK, append(b, `}}}`...))
}
