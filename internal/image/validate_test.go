package image_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

func valid() image.Create {
	return image.Create{Name: "disk", URL: "https://example.com/disk.qcow2", Region: "nyc3"}
}

func TestCreateValidate(t *testing.T) {
	long := strings.Repeat("é", image.MaxName)
	tests := []struct {
		name   string
		change func(*image.Create)
		want   string // part of the message; "" for valid
	}{
		{"least", func(*image.Create) {}, ""},
		{"nothing", func(c *image.Create) { *c = image.Create{} }, "name, url and region are required"},
		{"two missing", func(c *image.Create) { c.Name, c.Region = "", "" }, "name and region are required"},
		{"one missing", func(c *image.Create) { c.URL = "" }, "url is required"},
		{"name of blanks", func(c *image.Create) { c.Name = " \t " }, "name must not be empty"},
		{"longest name", func(c *image.Create) { c.Name = long }, ""},
		{"too long a name", func(c *image.Create) { c.Name = long + "x" }, "name is 256 characters long; at most 255"},
		{"control character", func(c *image.Create) { c.Name = "a\x00b" }, "U+0000"},
		{"escape", func(c *image.Create) { c.Name = "a\x1b[31mb" }, "U+001B"},
		{"C1 control", func(c *image.Create) { c.Name = "a\u009bb" }, "U+009B"},
		{"right-to-left override", func(c *image.Create) { c.Name = "disk\u202exe" }, "U+202E"},
		{"right-to-left mark", func(c *image.Create) { c.Name = "disk\u200f" }, "U+200F"},
		{"isolate", func(c *image.Create) { c.Name = "\u2066disk" }, "U+2066"},
		{"line separator", func(c *image.Create) { c.Name = "a\u2028b" }, "U+2028"},
		{"right-to-left script", func(c *image.Create) { c.Name = "דיסק" }, ""},
		{"unknown region", func(c *image.Create) { c.Region = "mars1" }, "region is none of this service's regions; one of ams1, ams2"},
		{"region by capitals", func(c *image.Create) { c.Region = "NYC3" }, "region is none"},
		{"longest description", func(c *image.Create) { c.Description = strings.Repeat("d", image.MaxDescription) }, ""},
		{"too long a description", func(c *image.Create) { c.Description = strings.Repeat("d", image.MaxDescription+1) }, "description is 4097"},
		{"lines in a description", func(c *image.Create) { c.Description = "a\r\n\tb" }, ""},
		{"NUL in a description", func(c *image.Create) { c.Description = "a\x00" }, "description holds the control character U+0000"},
		{"ftp", func(c *image.Create) { c.URL = "ftp://example.com/a" }, "url must begin with http"},
		{"file", func(c *image.Create) { c.URL = "file:///etc/passwd" }, "url must begin with http"},
		{"upload", func(c *image.Create) { c.URL = "upload:1234" }, "url names no upload"},
		{"no scheme", func(c *image.Create) { c.URL = "example.com/disk" }, "url must begin with http"},
		{"no host", func(c *image.Create) { c.URL = "https:///disk" }, "url names no host"},
		{"port alone", func(c *image.Create) { c.URL = "https://:443/disk" }, "url names no host"},
		{"opaque", func(c *image.Create) { c.URL = "https:example.com/disk" }, "url names no host"},
		{"capitals", func(c *image.Create) { c.URL = "HTTPS://EXAMPLE.COM/disk" }, ""},
		{"credentials", func(c *image.Create) { c.URL = "https://user:secret@example.com/disk" }, ""},
		{"line feed", func(c *image.Create) { c.URL = "https://example.com/\n" }, "url holds a control character"},
		{"bad escape", func(c *image.Create) { c.URL = "https://example.com/%zz" }, "url is not a valid URL"},
		{"too long a URL", func(c *image.Create) { c.URL += strings.Repeat("a", image.MaxURL) }, "url is 8222 bytes long"},
		{"sha256", func(c *image.Create) { c.URL += "#sha256=" + strings.Repeat("aB", 32) }, ""},
		{"sha512", func(c *image.Create) { c.URL += "#sha512=" + strings.Repeat("0f", 64) }, ""},
		{"short sha256", func(c *image.Create) { c.URL += "#sha256=" + strings.Repeat("a", 63) }, "sha256= is followed by 64"},
		{"sha512 of another length", func(c *image.Create) { c.URL += "#sha512=" + strings.Repeat("a", 64) }, "sha512= is followed by 128"},
		{"no hex", func(c *image.Create) { c.URL += "#sha256=" + strings.Repeat("g", 64) }, "sha256= is followed by 64"},
		{"md5", func(c *image.Create) { c.URL += "#md5=" + strings.Repeat("a", 32) }, "no checksum"},
		{"misspelt", func(c *image.Create) { c.URL += "#sha265=" + strings.Repeat("a", 64) }, "no checksum"},
		{"bad tag", func(c *image.Create) { c.Tags = []string{"a b"} }, "letters, digits"},
		{"letter beyond ASCII", func(c *image.Create) { c.Tags = []string{"é"} }, "letters, digits"},
		{"empty tag", func(c *image.Create) { c.Tags = []string{""} }, "tags holds a tag name of 0 characters"},
		{"longest tag", func(c *image.Create) { c.Tags = []string{strings.Repeat("t", image.MaxTagName)} }, ""},
		{"too long a tag", func(c *image.Create) { c.Tags = []string{strings.Repeat("t", image.MaxTagName+1)} }, "256 characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			checkMessage(t, c.Validate(image.DefaultRegions()), tt.want)
		})
	}
}

func checkMessage(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted; want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("message %q; want %q in it", err, want)
	}
}

// No message repeats the URL: it may hold a password.
func TestCreateValidateKeepsURLSecret(t *testing.T) {
	for _, url := range []string{
		"ftp://user:secret@example.com/", "https://user:secret@/disk", "https://user:secret@example.com/%zz",
		"https://user:secret@example.com/\x01", "https://user:secret@example.com/disk#sha256=secret", "https://user:secret@exa mple.com/",
	} {
		c := valid()
		c.URL = url
		err := c.Validate(image.DefaultRegions())
		if err == nil {
			t.Errorf("%q: accepted", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the message repeats it: %v", url, err)
		}
	}
}

func TestCreateValidateKeptForm(t *testing.T) {
	c := valid()
	c.Distribution, c.Tags = "Unkown", []string{"Web", "web", "db:1", "WEB"}
	if err := c.Validate(image.DefaultRegions()); err != nil {
		t.Fatal(err)
	}
	want := valid()
	want.Distribution, want.Tags = "Unknown", []string{"Web", "db:1"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestIsBadTag(t *testing.T) {
	if err := image.ValidateTag("name", "a b"); !image.IsBadTag(err) {
		t.Errorf("a blank in a tag is not told by its characters: %v", err)
	}
	if err := image.ValidateTag("name", ""); err == nil || image.IsBadTag(err) {
		t.Errorf("an empty tag is told by its characters: %v", err)
	}
}

func TestUpdateValidate(t *testing.T) {
	text := func(s string) *string { return &s }
	tests := []struct {
		name string
		u    image.Update
		want string
	}{
		{"nothing", image.Update{}, ""},
		{"empty name", image.Update{Name: text("")}, "name must not be empty"},
		{"empty description", image.Update{Description: text("")}, ""},
		{"bell", image.Update{Description: text("\a")}, "U+0007"},
		{"unknown distribution", image.Update{Distribution: text("Plan 9")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkMessage(t, tt.u.Validate(), tt.want) })
	}
	u := image.Update{Distribution: text("Plan 9")}
	if err := u.Validate(); err != nil || *u.Distribution != image.UnknownDistribution {
		t.Errorf("distribution %q, %v; want %q", *u.Distribution, err, image.UnknownDistribution)
	}
}

func TestDistribution(t *testing.T) {
	for in, want := range map[string]string{
		"Ubuntu": "Ubuntu", "openSUSE": "openSUSE", "ubuntu": "Unknown", "": "Unknown", "Unkown": "Unknown", "Unknown OS": "Unknown OS",
	} {
		if got := image.Distribution(in); got != want {
			t.Errorf("Distribution(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestIsSlug(t *testing.T) {
	for s, want := range map[string]bool{
		"ubuntu-24-04-x64": true, "debian_12.1": true, "7up": true, "-1": true,
		"": false, "123": false, "Ubuntu": false, "a/b": false, "a\x00": false, "é": false,
		strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
	} {
		if got := image.IsSlug(s); got != want {
			t.Errorf("IsSlug(%.20q) = %t, want %t", s, got, want)
		}
	}
}
