package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/store"
	"ingot/internal/store/s3"
	"ingot/internal/store/s3/s3test"
	"ingot/internal/store/storetest"
)

// The tests of this package use the server's buckets as their owner, unless they say otherwise.
func TestMain(m *testing.M) {
	os.Setenv("AWS_ACCESS_KEY_ID", s3test.Access)
	os.Setenv("AWS_SECRET_ACCESS_KEY", s3test.Secret)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Exit(m.Run())
}

// open opens a store of a bucket.
func open(t testing.TB, url string, transport http.RoundTripper) *s3.Store {
	t.Helper()
	place, err := s3.ParsePlace(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(place, transport)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestObjects(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for name, prefix := range map[string]string{"whole-bucket": "", "prefix": "some/where"} {
		t.Run(name, func(t *testing.T) {
			bucket := server.Bucket(t, "conformance-"+name)
			storetest.Objects(t, func(t testing.TB) store.Objects { return open(t, server.URL(bucket, prefix), nil) })
			if left := server.Uploads(t, bucket); len(left) != 0 {
				t.Errorf("uploads left behind: %q", left)
			}
		})
	}
}

// Two stores of one bucket do not see each other.
func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	bucket := server.Bucket(t, "prefixes")
	a, b := open(t, server.URL(bucket, "a"), nil), open(t, server.URL(bucket, "ab"), nil)
	put(t, a, "packs/x", []byte("of a"))
	put(t, b, "packs/y", []byte("of b"))
	for s, want := range map[*s3.Store]string{a: "packs/x", b: "packs/y"} {
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{want}, names(t, s)); diff != "" {
			t.Errorf("a store lists (-want +got):\n%s", diff)
		}
	}
	if keys, _ := server.Keys(t, bucket); len(keys) != 2 {
		t.Errorf("after two checks the bucket holds %q", keys)
	}
}

func TestNamesStayInside(t *testing.T) {
	t.Parallel()
	s := open(t, "s3://bkt/p?endpoint=http://127.0.0.1:1", nil)
	for _, name := range []string{"", ".", "..", "../x", "/etc", "a/../../x", "a//b", "a/", ".probe", "a/.b"} {
		_, err := s.Create(t.Context(), name)
		_, err2 := s.Stat(t.Context(), name)
		for _, err := range []error{err, err2, s.ReadAt(t.Context(), name, nil, 0), s.Delete(t.Context(), name)} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"s3://bkt":                  "s3://bkt",
		"s3://bkt/":                 "s3://bkt",
		"s3://bkt/p/q/?region=eu-1": "s3://bkt/p/q?region=eu-1",
		"s3://bkt?endpoint=https://s3.amazonaws.com":         "s3://bkt",
		"s3://bkt?region=r&endpoint=https://H.example:9000/": "s3://bkt?endpoint=https://h.example:9000&region=r",
		"s3://bkt?endpoint=https%3A%2F%2Fh.example&region=r": "s3://bkt?endpoint=https://h.example&region=r",
		"s3://bkt?addressing=path":                           "s3://bkt?addressing=path",
		"s3://bkt?addressing=host&region=r":                  "s3://bkt?addressing=host&region=r",
	} {
		place, err := s3.ParsePlace(raw)
		if err != nil || place.String() != want {
			t.Errorf("%s is %s, %v; want %s", raw, place, err, want)
		}
		if again, err := s3.ParsePlace(want); err != nil || again.String() != want {
			t.Errorf("%s read again is %s, %v", want, again, err)
		}
	}
	for raw, want := range map[string]string{
		"s3:b":                                   "write s3://BUCKET",
		"s3://B_u":                               "is no bucket",
		"s3://":                                  "no bucket",
		"s3://host:9000/bkt":                     "?endpoint=",
		"s3://key:swordfish@bkt":                 "AWS_ACCESS_KEY_ID",
		"s3://bkt?endpoint=minio:9000":           "write endpoint=",
		"s3://bkt?endpoint=ftp://h":              "write endpoint=",
		"s3://bkt?endpoint=http://u:swordfish@h": "scheme, host and port alone",
		"s3://bkt?endpoint=http://h/path":        "scheme, host and port alone",
		"s3://bkt?addressing=dns":                "path (https://HOST/BUCKET)",
		"s3://bkt?secret=swordfish":              `no option "secret"`,
	} {
		_, err := s3.ParsePlace(raw)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: %v; want %q in it", raw, err, want)
		}
	}
}

// What a writer holds does not grow with the object.
func TestWriterMemoryIsBounded(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.URL(server.Bucket(t, "memory"), ""), nil)
	w, err := s.Create(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	block := content(1<<20, 1)
	before, most := heap(), int64(0)
	for range 96 {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
		most = max(most, heap()-before)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if most > 40<<20 {
		t.Errorf("%d MiB alive while 96 MiB were written, want at most 40", most>>20)
	}
	if n, err := s.Stat(t.Context(), "large"); err != nil || n != 96<<20 {
		t.Errorf("Stat = %d, %v", n, err)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func put(t testing.TB, o store.Objects, name string, b []byte) {
	t.Helper()
	if err := tryPut(t.Context(), o, name, b); err != nil {
		t.Fatal(err)
	}
}

func tryPut(ctx context.Context, o store.Objects, name string, b []byte) error {
	w, err := o.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func wantContent(t testing.TB, o store.Objects, name string, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if err := o.ReadAt(t.Context(), name, got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("object %s: %v, or not the bytes written", name, err)
	}
}

func names(t testing.TB, o store.Objects) (names []string) {
	t.Helper()
	for o, err := range o.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}
