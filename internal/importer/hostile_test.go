package importer_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
	"ingot/internal/store"
)

// hostile is a file that is imported: with a code it must be refused so, without one it must become the guest's disk.
type hostile struct {
	name, code string
	make       func() []byte
	guest      []byte // of an accepted file; nil: not compared

	serve    http.HandlerFunc // in place of make
	fragment string           // of the URL
	passing  bool             // refused after all attempts, not after the first
}

// attempts are how often what may pass is tried.
const attempts = 3

var update = flag.Bool("update", false, "write testdata/messages.txt anew")

const messagesFile = "testdata/messages.txt"

// changing are the numbers in what a decoder or a transfer says that depend on how far it happened to have read.
var changing = regexp.MustCompile(`(compressed bytes?|after|byte|-s) \d+`)

// TestHostileImages runs every case of every format through the real import. The outcome and the code stand in the
// tables, what the user reads in testdata/messages.txt; nothing of a refused file may be left.
func TestHostileImages(t *testing.T) {
	b := newBench(t, options{maxAttempts: attempts, quota: image.Quota{Images: 1000, Imports: 1000}})
	messages := map[string]string{}
	for group, cases := range map[string][]hostile{
		"qcow2": slices.Concat(qcow2Headers(), qcow2Tables(), qcow2Clusters()), "vmdk": slices.Concat(vmdkHeaders(), vmdkDescriptors(), vmdkTables(), vmdkStreams()),
		"vdi": vdiCases(), "vhdx": slices.Concat(vhdxHeaders(), vhdxMetadata()),
		"raw": rawCases(), "outer": slices.Concat(foreignCases(), polyglots()), "wrapper": slices.Concat(gzipCases(), bzip2Cases(t)),
	} {
		for message := range b.importAll(t, group, cases) {
			messages[message[0]] = message[1]
		}
	}
	b.wantNothing()
	for message := range importFromHostile(t) {
		messages[message[0]] = message[1]
	}
	compareMessages(t, messages)
}

// importAll imports the cases, several at once, and yields the name and message of each that was refused.
func (b *bench) importAll(t *testing.T, group string, cases []hostile) map[[2]string]bool {
	t.Helper()
	said := map[[2]string]bool{}
	var slowest time.Duration
	ids := make([]int64, len(cases))
	for i, c := range cases {
		path := fmt.Sprintf("/%s/%d", group, i)
		if c.serve != nil {
			ids[i] = b.post(b.serve(path, c.serve) + c.fragment)
		} else {
			ids[i] = b.post(b.file(path, c.make))
		}
	}
	for i, c := range cases {
		m, p := b.settled(ids[i])
		name := group + ": " + c.name
		tried := map[bool]int{false: 1, true: attempts}[c.passing]
		slowest = max(slowest, p.FinishedAt.Sub(p.StartedAt))
		switch {
		case c.code == "" && m.Status != image.Available:
			t.Errorf("%s: refused with %s: %s", name, p.ErrorCode, m.ErrorMessage)
		case c.code == "":
			if c.guest != nil && !bytes.Equal(b.content(ids[i]), c.guest) {
				t.Errorf("%s: what is kept differs from the guest's disk", name)
			}
			if err := b.cat.DeleteImage(t.Context(), b.account, ids[i]); err != nil {
				t.Fatal(err)
			}
		case m.Status != image.Deleted || p.ErrorCode != c.code || p.Attempt != tried:
			t.Errorf("%s: %s, %s after %d attempts; want %s\n%s", name, m.Status, p.ErrorCode, p.Attempt, c.code, m.ErrorMessage)
		default:
			if said[[2]string{name, told(p.ErrorCode, m.ErrorMessage)}] {
				t.Errorf("%s: two cases of one name", name)
			}
			said[[2]string{name, told(p.ErrorCode, m.ErrorMessage)}] = true
		}
	}
	t.Logf("%s: %d cases, the slowest import took %v", group, len(cases), slowest)
	return said
}

func told(code, message string) string {
	if strings.HasPrefix(code, "gzip") || strings.HasPrefix(code, "bzip2") || strings.HasPrefix(code, "source") {
		message = changing.ReplaceAllString(message, "$1 N")
	}
	return code + ": " + message
}

func compareMessages(t *testing.T, got map[string]string) {
	t.Helper()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintf(&text, "%s\n    %s\n", name, got[name])
	}
	if *update {
		if err := os.WriteFile(messagesFile, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(messagesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text.String(), "\n")); diff != "" {
		t.Errorf("what users read differs from %s (-want +got); run with -update if that is meant:\n%s", messagesFile, diff)
	}
}

// TestMessagesSayWhatToDo looks at all that TestHostileImages has seen users read.
func TestMessagesSayWhatToDo(t *testing.T) {
	text, err := os.ReadFile(messagesFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := 1; i < len(lines); i += 2 {
		_, message, _ := strings.Cut(lines[i], ": ")
		if strings.Contains(message, "%!") || len(message) < 60 || len(message) > 700 || strings.Count(message, ". ")+strings.Count(message, ": ")+strings.Count(message, "; ") < 1 {
			t.Errorf("%s: %s", lines[i-1], message)
		}
		for _, ours := range []string{os.TempDir(), "/work/", "/scratch", "goroutine", ".go:"} {
			if strings.Contains(message, ours) {
				t.Errorf("%s: the message tells of this machine: %s", lines[i-1], message)
			}
		}
	}
}

func digestOf(text string) (d store.Digest, err error) {
	_, err = hex.Decode(d[:], []byte(text))
	return d, err
}
