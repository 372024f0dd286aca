package image

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errTagCharacters is the Cause that IsBadTag looks for.
var errTagCharacters = errors.New("characters that a tag name may not hold")

// IsBadTag reports whether err is about the characters of a tag name: the API answers that with a status and a body
// of its own.
func IsBadTag(err error) bool { return errors.Is(err, errTagCharacters) }

func invalid(format string, args ...any) error {
	return &Error{Kind: Invalid, Message: fmt.Sprintf(format, args...)}
}

// Validate checks what a client asked for and puts it in its kept form: a distribution of the list, each tag once.
// The error is an *Error whose message names the field; it never repeats the URL, which may hold credentials.
func (c *Create) Validate(regions []Region) error {
	if err := c.required(); err != nil {
		return err
	}
	if err := ValidateName(c.Name); err != nil {
		return err
	}
	if err := ValidateURL(c.URL); err != nil {
		return err
	}
	if err := ValidateRegion(c.Region, regions); err != nil {
		return err
	}
	if err := validateDescription(c.Description); err != nil {
		return err
	}
	c.Distribution = Distribution(c.Distribution)
	tags, err := uniqueTags(c.Tags)
	c.Tags = tags
	return err
}

// required names every missing field at once, so that one answer is enough to put a request right.
func (c *Create) required() error {
	var missing []string
	for _, f := range []struct{ name, value string }{{"name", c.Name}, {"url", c.URL}, {"region", c.Region}} {
		if f.value == "" {
			missing = append(missing, f.name)
		}
	}
	switch n := len(missing); n {
	case 0:
		return nil
	case 1:
		return invalid("%s is required and must not be empty.", missing[0])
	default:
		return invalid("%s and %s are required and must not be empty.", strings.Join(missing[:n-1], ", "), missing[n-1])
	}
}

// Validate checks what a client asked for and puts it in its kept form.
func (u *Update) Validate() error {
	if u.Name != nil {
		if err := ValidateName(*u.Name); err != nil {
			return err
		}
	}
	if u.Description != nil {
		if err := validateDescription(*u.Description); err != nil {
			return err
		}
	}
	if u.Distribution != nil {
		d := Distribution(*u.Distribution)
		u.Distribution = &d
	}
	return nil
}

// ValidateName checks the name of an image. Control characters and the characters that turn the direction of writing
// (Unicode's Bidi_Control) would let a name look like another one in a list or on a terminal.
func ValidateName(name string) error {
	if strings.TrimSpace(name) == "" {
		return invalid("name must not be empty.")
	}
	if n := utf8.RuneCountInString(name); n > MaxName {
		return invalid("name is %d characters long; at most %d will do.", n, MaxName)
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return invalid("name holds the character %U; control characters, line separators and characters that turn the direction of writing will not do.", r)
		}
	}
	return nil
}

func validateDescription(s string) error {
	if n := utf8.RuneCountInString(s); n > MaxDescription {
		return invalid("description is %d characters long; at most %d will do.", n, MaxDescription)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return invalid("description holds the control character %U; of those, only tabs and ends of lines will do.", r)
		}
	}
	return nil
}

// ValidateRegion checks a region's slug against those that this service has.
func ValidateRegion(slug string, regions []Region) error {
	if slices.ContainsFunc(regions, func(r Region) bool { return r.Slug == slug }) {
		return nil
	}
	slugs := make([]string, len(regions))
	for i, r := range regions {
		slugs[i] = r.Slug
	}
	return invalid("region is none of this service's regions; one of %s will do.", strings.Join(slugs, ", "))
}

// ValidateURL checks the form of an image's URL: scheme, host and checksum. Whether its host may be dialled is the
// importer's question, and its answer may change between two attempts.
func ValidateURL(s string) error {
	if len(s) > MaxURL {
		return invalid("url is %d bytes long; at most %d will do.", len(s), MaxURL)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return invalid("url holds a control character.")
	}
	u, err := url.Parse(s)
	if err != nil {
		return invalid("url is not a valid URL; https://example.com/disk.qcow2 is the form that will do.")
	}
	if u.Scheme == "upload" {
		if _, ok := UploadID(s); !ok {
			return invalid("url names no upload; upload: is followed by the last part of the upload's address, 32 hexadecimal digits.")
		}
		return validateChecksum(u.Fragment)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return invalid("url must begin with http:// or https://.")
	}
	if u.Hostname() == "" {
		return invalid("url names no host; https://example.com/disk.qcow2 is the form that will do.")
	}
	return validateChecksum(u.Fragment)
}

// validateChecksum refuses every other fragment as well: one that is misspelt would leave the image unchecked.
func validateChecksum(fragment string) error {
	algorithm, digest, _ := strings.Cut(fragment, "=")
	size := map[string]int{"sha256": 32, "sha512": 64}[algorithm]
	if fragment == "" {
		return nil
	}
	if size == 0 {
		return invalid("url has a part after # that is no checksum; #sha256=… and #sha512=… will do, or nothing.")
	}
	if b, err := hex.DecodeString(digest); err != nil || len(b) != size {
		return invalid("url has a malformed checksum after #; %s= is followed by %d hexadecimal digits.", algorithm, 2*size)
	}
	return nil
}

// ValidateTag checks the name of a tag, which stood in the field: letters, digits, '_', '-' and ':'.
func ValidateTag(field, name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > MaxTagName {
		return invalid("%s holds a tag name of %d characters; 1 to %d will do.", field, n, MaxTagName)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !isTagRune(r) }) {
		return &Error{
			Kind:    BadSyntax,
			Message: fmt.Sprintf("%s holds a tag name with other characters than letters, digits, '_', '-' and ':'.", field),
			Cause:   errTagCharacters,
		}
	}
	return nil
}

func isTagRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' || r == ':'
}

// uniqueTags checks every name and keeps the first spelling of each.
func uniqueTags(tags []string) ([]string, error) {
	var unique []string
	seen := map[string]bool{}
	for _, t := range tags {
		if err := ValidateTag("tags", t); err != nil {
			return nil, err
		}
		if folded := strings.ToLower(t); !seen[folded] {
			seen[folded] = true
			unique = append(unique, t)
		}
	}
	if len(unique) > MaxTags {
		return nil, invalid("tags holds %d names; at most %d will do.", len(unique), MaxTags)
	}
	return unique, nil
}

// IsSlug reports whether s can be the slug of a public image: 1 to 255 lower-case letters, digits, '-', '_' and '.',
// and not digits alone, which would be an id.
func IsSlug(s string) bool {
	digits := true
	for _, r := range s {
		switch {
		case '0' <= r && r <= '9':
		case 'a' <= r && r <= 'z', r == '-', r == '_', r == '.':
			digits = false
		default:
			return false
		}
	}
	return len(s) <= 255 && !digits
}
