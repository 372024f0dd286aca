package image

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ActionType is what is done with an image.
type ActionType string

// The types of action.
const (
	Transfer ActionType = "transfer" // to one more region
	Convert  ActionType = "convert"  // of a backup to a snapshot
)

// ActionStatus is how far an action is.
type ActionStatus string

// The states of an action.
const (
	InProgress ActionStatus = "in-progress"
	Completed  ActionStatus = "completed"
	Errored    ActionStatus = "errored"
)

// Action is something that was asked of an image. Times are UTC with a resolution of a second.
type Action struct {
	ID          int64
	ImageID     int64
	Type        ActionType
	Status      ActionStatus
	Region      string // slug: where to, or where it was done
	StartedAt   time.Time
	CompletedAt time.Time // zero: not yet
}

// Act asks for an action.
type Act struct {
	Type   ActionType
	Region string // of a transfer
}

// Validate checks what a client asked for. The error is an *Error whose message names the field.
func (a Act) Validate(regions []Region) error {
	switch a.Type {
	case "":
		return invalid("type is required; transfer and convert will do.")
	case Convert:
		return nil
	case Transfer:
		if a.Region == "" {
			return invalid("region is required: the slug of the region that the image is to be copied to.")
		}
		return ValidateRegion(a.Region, regions)
	}
	return invalid("type must be transfer or convert.")
}

// Tag is a name on images, and on how many.
type Tag struct {
	Name   string // in its first spelling
	Images int64  // that lists show
}

// MaxTagResources is how many images one request may tag.
const MaxTagResources = 1000

// Offer asks to hand a snapshot over to another account: exactly one of the fields is set.
type Offer struct {
	RecipientEmail string
	RecipientUUID  string
}

// Validate checks what a client asked for and puts it in its kept form.
func (o *Offer) Validate() error {
	o.RecipientEmail = strings.ToLower(strings.TrimSpace(o.RecipientEmail))
	o.RecipientUUID = strings.ToLower(strings.TrimSpace(o.RecipientUUID))
	switch {
	case o.RecipientEmail == "" && o.RecipientUUID == "":
		return invalid("recipient_email or recipient_uuid is required: who is to have the image.")
	case o.RecipientEmail != "" && o.RecipientUUID != "":
		return invalid("recipient_email and recipient_uuid must not both be given.")
	case len(o.RecipientEmail) > MaxName:
		return invalid("recipient_email is longer than %d bytes.", MaxName)
	case len(o.RecipientUUID) > MaxName:
		return invalid("recipient_uuid is longer than %d bytes.", MaxName)
	case !isPlain(o.RecipientEmail):
		return invalid("recipient_email holds a control character.")
	case !isPlain(o.RecipientUUID):
		return invalid("recipient_uuid holds a control character.")
	}
	return nil
}

// isPlain tells text that every database keeps and compares: PostgreSQL takes neither NUL nor what is no UTF-8.
func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Validate checks what an operator asked for.
func (p Publication) Validate() error {
	switch {
	case !IsSlug(p.Slug):
		return invalid("The slug will not do: lower-case letters, digits, '-', '_' and '.' will, and not digits alone.")
	case !slices.Contains([]string{KindDistribution, KindApplication}, p.Kind):
		return invalid("The kind must be %s or %s.", KindDistribution, KindApplication)
	case p.Type != Base && p.Type != Snapshot:
		return invalid("The type of a public image must be %s or %s.", Base, Snapshot)
	case p.Name != "":
		return ValidateName(p.Name)
	}
	return nil
}
