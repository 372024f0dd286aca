package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// public is what the list of public images shows, by slug.
func (s *service) public(kind string) map[string]publicImage {
	s.t.Helper()
	var answer struct{ Images []publicImage }
	s.call("GET", "/v2/images?per_page=200&type="+kind, nil, &answer)
	found := map[string]publicImage{}
	for _, m := range answer.Images {
		found[m.Slug] = m
	}
	return found
}

type publicImage struct {
	ID                     int64
	Slug, Name, Type       string
	Distribution, Status   string
	Public                 bool
	Regions                []string
	Description, CreatedAt string
}

// writeFile writes a catalogue and returns its path.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "public.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPublishACatalogue(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"debian.raw": rawDisk(2<<20, 1), "newer.raw": rawDisk(2<<20, 2), "app.raw": rawDisk(1<<20, 3)})
	s := start(t, filepath.Join(t.TempDir(), "data"), "--allow-source", o.allow(), "--region", "nyc3=file:a", "--region", "fra1=file:a", "--region", "lon1=file:b")
	debian := `
  - slug: debian-12-x64
    name: Debian 12 x64
    distribution: Debian
    url: ` + o.URL + `/debian.raw
    kind: distribution
`
	app := `
  - slug: wordpress
    url: ` + o.URL + `/app.raw
    kind: application
    regions: [lon1]
    type: snapshot
`
	publish := func(entries string) string {
		t.Helper()
		return ingot(t, "publish", "--data", s.data, "--from", writeFile(t, "images:"+entries))
	}
	want := func(got, text string) {
		t.Helper()
		if got != text {
			t.Errorf("it says\n%swant\n%s", got, text)
		}
	}
	want(publish(debian+app), "debian-12-x64\t1\tpublished\nwordpress\t2\tpublished\n")
	d, w := s.public("distribution")["debian-12-x64"], s.public("application")["wordpress"]
	if d.Type != "base" || d.Name != "Debian 12 x64" || d.Distribution != "Debian" || !d.Public || fmt.Sprint(d.Regions) != "[fra1 nyc3]" {
		t.Errorf("debian: %+v", d)
	}
	if w.Type != "snapshot" || w.Name != "wordpress" || w.Distribution != "Unknown" || fmt.Sprint(w.Regions) != "[lon1]" {
		t.Errorf("wordpress: %+v", w)
	}

	// Again: nothing. A changed name: no import. A changed URL: an import, and the former image is retired.
	want(publish(debian+app), "debian-12-x64\t1\tunchanged\nwordpress\t2\tunchanged\n")
	want(publish(strings.Replace(debian, "Debian 12 x64", "Debian 12", 1)), "debian-12-x64\t1\tupdated\n")
	if d := s.public("distribution")["debian-12-x64"]; d.Name != "Debian 12" {
		t.Errorf("after the change of the name: %+v", d)
	}
	newer := strings.Replace(debian, "/debian.raw", "/newer.raw", 1)
	want(publish(newer+app), "debian-12-x64\t3\tpublished\nwordpress\t2\tunchanged\n")
	if all := s.public("distribution"); len(all) != 1 || all["debian-12-x64"].ID != 3 {
		t.Errorf("after the change of the URL: %+v", all)
	}
	if m := s.image(1); m.Status != "retired" {
		t.Errorf("the former image is %s", m.Status)
	}

	want(ingot(t, "retire", "--data", s.data, "wordpress"), "wordpress\t2\tretired\n")
	if all := s.public("application"); len(all) != 0 {
		t.Errorf("after it was retired: %+v", all)
	}
	if got := publish(app); !strings.HasPrefix(got, "wordpress\t2\tretired, and left alone") {
		t.Errorf("a retired image: %s", got)
	}
	want(ingot(t, "publish", "--data", s.data, "2"), "wordpress\t2\tpublished\n")
	if w := s.public("application")["wordpress"]; w.ID != 2 || w.Type != "snapshot" {
		t.Errorf("after it came back: %+v", w)
	}

	// To a region of another store the image follows by a transfer.
	far := "\n  - {slug: far, kind: application, url: '" + o.URL + "/app.raw', regions: [nyc3, lon1]}"
	want(publish(far), "far\t4\tpublished\n")
	s.Eventually("the image is in both regions", func() bool { return fmt.Sprint(s.image(4).Regions) == "[lon1 nyc3]" })
	want(publish(far), "far\t4\tunchanged\n")

	missing := "\n  - {slug: gone, kind: distribution, url: '" + o.URL + "/gone.raw'}"
	for _, c := range []struct{ name, entries, want string }{
		{"a source that is not there", newer + missing, "gone\t5\tfailed: "},
		{"a mistyped key", "\n  - {slug: x, kinds: distribution}", "field kinds not found"},
		{"a slug twice", app + app, "twice"},
		{"an unknown region", "\n  - {slug: x, kind: application, url: 'http://x/y', regions: [mars]}", "mars"},
		{"no kind", "\n  - {slug: x, url: 'http://x/y'}", "kind"},
		{"no URL", "\n  - {slug: x, kind: application}", "url"},
		{"nothing", " []", "nothing"},
	} {
		out := startFailing(t, "publish", "--data", s.data, "--from", writeFile(t, "images:"+c.entries))
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %q is not in\n%s", c.name, c.want, out)
		}
	}
}

func TestPublishOne(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"a.raw": rawDisk(1<<20, 1)})
	s := start(t, filepath.Join(t.TempDir(), "data"), "--allow-source", o.allow())
	id := s.create("mine", o.URL+"/a.raw")
	s.settled(id)
	ingot(t, "publish", "--data", s.data, fmt.Sprint(id), "--slug", "mine", "--kind", "distribution")
	if m := s.public("distribution")["mine"]; m.ID != id || m.Type != "base" || m.Name != "mine" {
		t.Errorf("%+v", m)
	}
	second := []string{"publish", "--data", s.data, "--url", o.URL + "/a.raw", "--slug", "mine", "--kind", "application", "--type", "snapshot"}
	if out := startFailing(t, second...); !strings.Contains(out, "--replace") {
		t.Errorf("a slug that is taken: %s", out)
	}
	ingot(t, append(second, "--replace", "--name", "Ours")...)
	m := s.public("application")["mine"]
	if m.ID == id || m.Type != "snapshot" || m.Name != "Ours" || len(m.Regions) != 15 {
		t.Errorf("%+v", m)
	}
	for _, wrong := range [][]string{
		{"publish"}, {"publish", "1", "--from", writeFile(t, "")}, {"publish", "1"},
		{"publish", "1", "--slug", "UPPER", "--kind", "distribution"}, {"publish", "99", "--slug", "x", "--kind", "distribution"},
		{"retire", "nothing"}, {"retire", "99"},
	} {
		startFailing(t, append(wrong, "--data", s.data)...)
	}
}

func TestRegister(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"a.raw": rawDisk(1<<20, 1)})
	s := start(t, filepath.Join(t.TempDir(), "data"), "--allow-source", o.allow())
	out := ingot(t, "image", "create", "--data", s.data, "--type", "backup", "--name", "nightly", "--url", o.URL+"/a.raw", "--region", "fra1", "--tag", "night")
	if out != "1\n" {
		t.Fatalf("it says %q", out)
	}
	if m := s.image(1); m.Status != "available" || fmt.Sprint(m.Regions) != "[fra1]" {
		t.Errorf("%+v", m)
	}
	if out := startFailing(t, "image", "create", "--data", s.data, "--type", "snapshot", "--name", "x", "--url", o.URL+"/none.raw"); !strings.Contains(out, "404") {
		t.Errorf("a source that is not there: %s", out)
	}
	startFailing(t, "image", "create", "--data", s.data, "--type", "base", "--name", "x", "--url", o.URL+"/a.raw")
	startFailing(t, "image", "create", "--data", s.data, "--type", "backup", "--account", "nobody", "--name", "x", "--url", o.URL+"/a.raw")
}
