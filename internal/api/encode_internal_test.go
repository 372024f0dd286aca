package api

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ingot/internal/image"
)

// What is appended reads back as the same text, whatever it is.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", `"quoted" \ back`, "\x00\x1f\x7f\n\r\t", "ünï\u2028", "\xff\xfe", "a\xffb", "\U0001F600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		want := s
		if !utf8.ValidString(s) {
			want = string([]rune(s))
		}
		if got != want || !utf8.Valid(b) {
			t.Errorf("%q became %q by %s", s, got, b)
		}
	})
}

// A body is read or refused, never more; what is read keeps every promise that the catalogue relies on.
func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{}`, ``, `null`, `[`, `{"name":"a","url":"https://example.com/a","region":"nyc3","tags":["x"],"description":null}`,
		`{"name":1}`, `{"name":"a","name":"b"}`, "{\"name\":\"\xff\"}", strings.Repeat(`{"a":`, 50), `{"tags":["a",null,3]}`,
		`{"name":"\ud800","url":"http://a#sha256=00","region":"nyc3"}`, `{"description":"\u0000","distribution":"Ubuntu"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := parseCreate(body)
		if err == nil {
			err = in.Validate(image.DefaultRegions())
		}
		if err == nil && !storable(in.Name, in.URL, in.Description, in.Distribution, in.Region, strings.Join(in.Tags, "")) {
			t.Errorf("%q was accepted: %+v", body, in)
		}
		refusable(t, err)
		u, err := parseUpdate(body)
		if err == nil && u.Name != nil && (*u.Name == "" || !storable(*u.Name)) {
			t.Errorf("%q was accepted as a change of the name to %q", body, *u.Name)
		}
		refusable(t, err)
	})
}

// storable reports whether every database takes the texts: valid UTF-8 without NUL.
func storable(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return false
		}
	}
	return true
}

func refusable(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if p := problemOf(err); p.status != 400 && p.status != 422 {
		t.Errorf("%v is answered with %d", err, p.status)
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		guest, data int64
		want        string
	}{
		{512, 0, `"min_disk_size":1,"size_gigabytes":0.00`},
		{1 << 30, 1 << 30, `"min_disk_size":1,"size_gigabytes":1.00`},
		{1<<30 + 1, 1<<30 + 1<<29, `"min_disk_size":2,"size_gigabytes":1.50`},
		{99_999_999_999, 2_512_555_868, `"min_disk_size":94,"size_gigabytes":2.34`},
	}
	for _, tt := range tests {
		m := &image.Image{Status: image.Available, GuestSize: tt.guest, DataSize: tt.data}
		if got := string(appendImage(nil, m)); !strings.Contains(got, ","+tt.want+",") {
			t.Errorf("%d bytes with %d of data: %s, want %s", tt.guest, tt.data, got, tt.want)
		}
	}
}

func TestTimesAreUTC(t *testing.T) {
	at := time.Date(2024, 2, 29, 23, 59, 59, 999, time.FixedZone("", -3600))
	if got := string(appendTime(nil, at)); got != `"2024-03-01T00:59:59Z"` {
		t.Error(got)
	}
}

func TestClamped(t *testing.T) {
	for s, want := range map[string]int{
		"": 20, "0": 1, "-1": 1, "7": 7, "200": 200, "201": 200, "x": 20, "1.5": 20, "1e3": 20, "0x10": 20,
		"99999999999999999999": 200, "-99999999999999999999": 1,
	} {
		if got := clamped(s, 1, 200, 20); got != want {
			t.Errorf("%q is %d, want %d", s, got, want)
		}
	}
}

func TestParseRange(t *testing.T) {
	tests := []struct {
		spec          string
		start, length int64
		ok            bool
	}{
		{"0-", 0, 100, true}, {"0-0", 0, 1, true}, {"99-", 99, 1, true}, {"10-19", 10, 10, true}, {"90-1000", 90, 10, true},
		{"-1", 99, 1, true}, {"-100", 0, 100, true}, {"-101", 0, 100, true}, {"5-99999999999999999999999", 5, 95, true},
		{" 1-2 ", 1, 2, true},
		{"100-", 0, 0, false}, {"-0", 0, 0, false}, {"-", 0, 0, false}, {"", 0, 0, false}, {"5", 0, 0, false}, {"2-1", 0, 0, false},
		{"a-b", 0, 0, false}, {"1-b", 0, 0, false}, {"--1", 0, 0, false}, {"1--2", 0, 0, false}, {"+1-2", 0, 0, false},
		{"99999999999999999999-", 0, 0, false},
	}
	for _, tt := range tests {
		start, length, ok := parseRange(tt.spec, 100)
		if ok != tt.ok || ok && (start != tt.start || length != tt.length) {
			t.Errorf("%q is %d bytes at %d, %t; want %d at %d, %t", tt.spec, length, start, ok, tt.length, tt.start, tt.ok)
		}
	}
	if _, _, ok := parseRange("0-", 0); ok {
		t.Error("an empty file has a range")
	}
	if start, length, ok := parseRange("-5", math.MaxInt64); !ok || start != math.MaxInt64-5 || length != 5 {
		t.Errorf("the end of the largest file is %d bytes at %d, %t", length, start, ok)
	}
}
