package api

import (
	"context"
	"crypto/sha256"
	"strings"

	"ingot/internal/image"
)

// Tokens knows which tokens are good.
type Tokens interface {
	// Authenticate returns the token whose secret has this SHA-256; image.ErrNotFound for one that is unknown,
	// expired or revoked.
	Authenticate(ctx context.Context, hash [32]byte) (image.Token, error)
}

// authenticate finds the call's token. A good and a bad secret cost the same: one hash, one look-up by the hash,
// and no comparison that ends early.
func (c *call) authenticate(basic bool) error {
	secret := c.secret(basic)
	if secret == "" {
		return c.unauthorized(basic)
	}
	token, err := c.api.catalog.Authenticate(c.ctx(), sha256.Sum256([]byte(secret)))
	if image.KindOf(err) == image.NotFound {
		return c.unauthorized(basic)
	}
	c.token = token
	return err
}

// secret returns what follows "Bearer", spaces within it included: the tokens of some clients hold them.
func (c *call) secret(basic bool) string {
	scheme, rest, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest)
	}
	if _, password, ok := c.r.BasicAuth(); ok && basic {
		return password
	}
	return ""
}

func (c *call) unauthorized(basic bool) error {
	h := c.Header()
	h.Set("WWW-Authenticate", `Bearer realm="ingot"`)
	if basic {
		h.Add("WWW-Authenticate", `Basic realm="ingot", charset="UTF-8"`)
	}
	return errUnauthorized
}

// need refuses a call whose token lacks a scope, and names the scope.
func (c *call) need(scope string) error {
	if c.token.Allows(scope) {
		return nil
	}
	return &image.Error{Kind: image.Forbidden, Message: image.ErrForbidden.Message + " The token lacks the scope " + scope + "."}
}
