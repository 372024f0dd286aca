package image

import "slices"

// ScopeAll stands for every scope, those of later versions included.
const ScopeAll = "*"

// Scopes are what a token can be allowed, by the names of DigitalOcean's documentation.
var Scopes = []string{
	"account:read", "actions:read",
	"image:create", "image:delete", "image:read", "image:update",
	"regions:read",
	"tag:create", "tag:delete", "tag:read",
}

// Allows reports whether the token has a scope.
func (t Token) Allows(scope string) bool {
	return slices.Contains(t.Scopes, ScopeAll) || slices.Contains(t.Scopes, scope)
}
