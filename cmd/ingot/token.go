package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it. It is shown this once: only its SHA-256 is kept."`
	List   tokenListCmd   `cmd:"" help:"List the tokens of an account."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token, at once."`
}

type tokenCreateCmd struct {
	dataFlags
	Account string        `help:"The account's name." default:"default"`
	Name    string        `help:"What the token is for."`
	Scope   []string      `help:"A scope such as image:read; repeatable. Without it the token has every scope." sep:","`
	Expires time.Duration `help:"How long it is valid, for example 720h. Without it, until it is revoked."`
}

func (c *tokenCreateCmd) Run(ctx context.Context, term terminal) error {
	if err := checkScopes(c.Scope); err != nil {
		return err
	}
	if c.Expires < 0 {
		return usageError{fmt.Errorf("--expires %s: a time in the past", c.Expires)}
	}
	return c.withAccount(ctx, c.Account, func(cat *catalog.Catalog, account image.Account) error {
		token := image.Token{AccountID: account.ID, Name: c.Name, Scopes: c.Scope}
		if c.Expires > 0 {
			token.ExpiresAt = time.Now().Add(c.Expires)
		}
		secret := newSecret()
		if _, err := addToken(ctx, cat, secret, token); err != nil {
			return err
		}
		_, err := fmt.Fprintln(term.Out, secret)
		return err
	})
}

// newSecret returns a token's secret of 256 random bits.
func newSecret() string {
	var bits [32]byte
	rand.Read(bits[:])
	return "ingot_" + base64.RawURLEncoding.EncodeToString(bits[:])
}

// addToken makes a token with a secret. No scopes is every scope.
func addToken(ctx context.Context, cat *catalog.Catalog, secret string, token image.Token) (image.Token, error) {
	if len(token.Scopes) == 0 {
		token.Scopes = []string{image.ScopeAll}
	}
	slices.Sort(token.Scopes)
	return cat.CreateToken(ctx, token, sha256.Sum256([]byte(secret)))
}

func checkScopes(scopes []string) error {
	for _, s := range scopes {
		if s != image.ScopeAll && !slices.Contains(image.Scopes, s) {
			return usageError{fmt.Errorf("--scope %s: there is no such scope; there are %s", s, strings.Join(image.Scopes, ", "))}
		}
	}
	return nil
}

type tokenListCmd struct {
	dataFlags
	Account string `help:"The account's name." default:"default"`
}

func (c *tokenListCmd) Run(ctx context.Context, term terminal) error {
	return c.withAccount(ctx, c.Account, func(cat *catalog.Catalog, account image.Account) error {
		tokens, err := cat.Tokens(ctx, account.ID)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(term.Out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tCREATED\tEXPIRES\tSTATE\tSCOPES")
		for _, t := range tokens {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.CreatedAt.Format(time.DateOnly), expiry(t), state(t), strings.Join(t.Scopes, ","))
		}
		return w.Flush()
	})
}

func expiry(t image.Token) string {
	if t.ExpiresAt.IsZero() {
		return "never"
	}
	return t.ExpiresAt.UTC().Format(time.RFC3339)
}

func state(t image.Token) string {
	switch {
	case t.Revoked:
		return "revoked"
	case !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(time.Now()):
		return "expired"
	}
	return "valid"
}

type tokenRevokeCmd struct {
	dataFlags
	ID      int64  `arg:"" help:"The token's id, as ingot token list shows it."`
	Account string `help:"The account's name." default:"default"`
}

func (c *tokenRevokeCmd) Run(ctx context.Context) error {
	return c.withAccount(ctx, c.Account, func(cat *catalog.Catalog, account image.Account) error {
		return cat.RevokeToken(ctx, account.ID, c.ID)
	})
}
