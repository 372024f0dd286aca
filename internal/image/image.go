// Package image knows what an image is: its fields, its states and what may follow what, its limits, and the kinds
// of error that a request about one can meet.
package image

import "time"

// Status is the state of an image as the API shows it.
type Status string

// The states. New -> Pending -> Available; a failed import ends in Deleted with an error message and stays readable; an
// image whose content was found damaged is Pending again, with an error message, until it is restored; Retired is a public image that its operator withdrew.
const (
	New       Status = "NEW"
	Pending   Status = "pending"
	Available Status = "available"
	Deleted   Status = "deleted"
	Retired   Status = "retired"
)

// Type is the API's type attribute.
type Type string

// The types. Custom images are made from a URL by a user; the operator publishes Base and Snapshot images.
const (
	Base     Type = "base"
	Snapshot Type = "snapshot"
	Backup   Type = "backup"
	Custom   Type = "custom"
	Admin    Type = "admin"
)

// The kinds of a published image, which the list's filter "type" selects. They are no attribute on the wire.
const (
	KindDistribution = "distribution"
	KindApplication  = "application"
)

// Image is one image. Times are UTC with a resolution of a second.
type Image struct {
	ID           int64
	AccountID    int64
	Name         string
	Type         Type
	Distribution string
	Slug         string // "" for none; public images only
	Kind         string // "" unless public
	Public       bool
	Regions      []string // empty until available
	CreatedAt    time.Time
	Description  string
	Tags         []string // canonical spelling, sorted
	Status       Status
	ErrorMessage string // "" unless the import failed or the content is damaged

	GuestSize int64  // bytes of the guest disk; 0 until available
	DataSize  int64  // bytes of guest data held, before compression and sharing; 0 until available
	Digest    string // content digest, lower-case hexadecimal SHA-256 of the manifest's root; "" until available
}

// Account owns images and tokens.
type Account struct {
	ID        int64
	UUID      string
	Name      string
	Email     string
	CreatedAt time.Time
	Quota     Quota
}

// Quota bounds what an account may hold; zero means no bound.
type Quota struct {
	Images  int64 // images that are not deleted
	Bytes   int64 // guest data, before compression and sharing
	Imports int64 // imports queued or running at once
}

// Token is the right to act for an account. The secret itself is never kept.
type Token struct {
	ID        int64
	AccountID int64
	Name      string
	Scopes    []string // sorted; "*" is every scope
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	Revoked   bool
}

// Create asks for an image. Its fields are checked by Validate before they reach the catalogue.
type Create struct {
	Name         string
	URL          string // with its credentials and its fragment, if any; a secret
	Distribution string
	Region       string
	Description  string
	Tags         []string

	Type    Type         // "": Custom. Others are the operator's: no request of a client sets it
	Publish *Publication // what the image becomes once it is available; nil: it stays private
}

// IdempotencyKey makes the repetition of a request harmless: within IdempotencyTime the same key and body answer the
// same image. The zero value is no key.
type IdempotencyKey struct {
	Key      string
	BodyHash [32]byte // SHA-256 of the request's body
}

// IdempotencyTime is how long a key is remembered.
const IdempotencyTime = 24 * time.Hour

// Update changes an image; a nil field is left alone.
type Update struct {
	Name         *string
	Distribution *string
	Description  *string
}

// Filter selects images for a list; the zero value selects all that the account can see.
type Filter struct {
	Kind    string // KindDistribution or KindApplication
	Private bool   // only the account's own
	Tag     string // any capitalisation
}

// Page is one page of a list: number from 1, size from 1 to 200.
type Page struct {
	Number, Size int
}

// Content is where the bytes of an available image are.
type Content struct {
	ImageID   int64
	Digest    string // content digest, lower-case hexadecimal
	GuestSize int64  // bytes
	Place
	Others []Place // other stores that have the same
}

// Place is an image's content in one store.
type Place struct {
	StoreID int64
	Object  string // name of the manifest's object in that store
}

// Places returns all places of the content, the preferred one first; there is one at least.
func (c Content) Places() []Place { return append([]Place{c.Place}, c.Others...) }

// Publication makes an image public.
type Publication struct {
	Slug string // see IsSlug
	Kind string // KindDistribution or KindApplication
	Type Type   // Base, or Snapshot where the operator asks for it

	Name         string   // "": as it is
	Distribution string   // "": as it is
	Regions      []string // which it is to be in; those that it is in already need not be named
	Replace      bool     // an image that has the slug is retired and loses it
}
