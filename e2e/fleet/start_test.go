package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/e2e/harness"
	"ingot/internal/catalog/pgtest"
)

// refused runs ingot serve, which must not start, and returns what it says.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, executable, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ingot serve %v: %v, want exit code 1\n%s", args, err, out)
	}
	return string(out)
}

// Who cannot be part of the service does not start, and says why and what to do.
func TestRefusedAtTheStart(t *testing.T) {
	server := pgtest.Start(t)
	for _, statement := range []string{"CREATE ROLE " + pgtest.Locked + " LOGIN PASSWORD 'swordfish'", "CREATE DATABASE empty", "CREATE DATABASE other"} {
		server.Do(t, "postgres", statement)
	}
	database := server.Database(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	run := []string{"--data", in("a"), "--database", database, "--store", "file:" + in("store")}
	harness.Start(t, executable, in("a"), run[2:]...)
	with := func(changes ...string) []string {
		args := slices.Clone(run)
		for i := 0; i < len(changes); i += 2 {
			if at := slices.Index(args, changes[i]); at >= 0 {
				args[at+1] = changes[i+1]
			} else {
				args = append(args, changes[i], changes[i+1])
			}
		}
		return args
	}
	for _, test := range []struct {
		what string
		args []string
		want string
	}{
		{"a wrong password", with("--database", server.URL(pgtest.Locked+":s3cret", "empty")), "does not let the user locked in. Check the user and the password"},
		{"no such database", with("--database", server.URL("ingot", "absent")), "has no database absent. Create it: createdb"},
		{"no server", with("--database", "postgres://u:s3cret@127.0.0.1:1/x"), "127.0.0.1:1 does not answer"},
		{"no schema, and none to be made", append(with("--database", server.URL("ingot", "empty")), "--no-migrate"), "Run: ingot migrate"},
		{"another store", with("--data", in("b"), "--store", "file:"+in("store2")), "and this one has file:" + in("store2")},
		{"regions of its own", with("--data", in("b"), "--region", "lab=file:"+in("store")), "and this one has none"},
		{"uploads in a folder of its own", with("--data", in("b")), "give all of them one --uploads DIR"},
		{"the store of another database", with("--data", in("c"), "--database", server.URL("ingot", "other")), "belongs to a service with another database"},
		{"the data directory of another database", with("--database", server.URL("ingot", "other"), "--store", "file:"+in("store3")), "Give this one its own --data"},
	} {
		t.Run(test.what, func(t *testing.T) {
			out := refused(t, test.args...)
			if !strings.Contains(strings.ToLower(out), strings.ToLower(test.want)) || strings.Contains(out, "s3cret") || strings.Count(out, "\n") > 2 {
				t.Errorf("it says\n%swant %q, no password, and no more than that", out, test.want)
			}
		})
	}
}

// A relative folder is in the data directory, so processes with data directories of their own have not one store.
func TestStoreOfTheOwnDataDirectory(t *testing.T) {
	database, dir := pgtest.Start(t).Database(t), t.TempDir()
	harness.Start(t, executable, filepath.Join(dir, "a"), "--database", database, "--uploads", "none")
	out := refused(t, "--data", filepath.Join(dir, "b"), "--database", database, "--uploads", "none")
	if !strings.Contains(out, "A folder must be named by an absolute path") {
		t.Error(out)
	}
}

// While a newer ingot adds to the schema, this one runs on, and starts; once a newer one has taken away, it neither
// starts nor goes on.
func TestUpgradeBesideAnOlderProcess(t *testing.T) {
	server := pgtest.Start(t)
	server.Do(t, "postgres", "CREATE DATABASE fleet")
	database, dir := server.URL("ingot", "fleet"), t.TempDir()
	args := []string{"--database", database, "--store", "file:" + filepath.Join(dir, "store"), "--uploads", "none"}
	if out, err := exec.Command(executable, "migrate", "--database", database).CombinedOutput(); err != nil || !strings.Contains(string(out), "was 0") {
		t.Fatalf("%v %s", err, out)
	}
	old := harness.Start(t, executable, filepath.Join(dir, "a"), append(args, "--no-migrate")...)
	server.Do(t, "fleet", `ALTER TABLE image ADD COLUMN later TEXT; ALTER TABLE import ADD COLUMN later BIGINT NOT NULL DEFAULT 0;
		CREATE TABLE later (id BIGINT); INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
	second := &api{t, harnessAddress(t, executable, filepath.Join(dir, "b"), args), old.Token}
	for _, a := range []*api{{t, old.URL, old.Token}, second} {
		if code, _ := a.do("POST", "/v2/images", `{"name":"x","url":"http://127.0.0.1:1/x","region":"nyc3"}`); code != http.StatusAccepted {
			t.Errorf("%s: %d", a.url, code)
		}
	}
	if out, err := exec.Command(executable, "migrate", "--database", database).CombinedOutput(); err != nil || !strings.Contains(string(out), "schema 9999, up to date") {
		t.Errorf("migrate: %v %s", err, out)
	}
	server.Do(t, "fleet", `UPDATE compatible SET oldest = 9999`)
	old.Eventually("the older process ends by itself", func() bool {
		_, err := http.Get(old.URL + "/healthz")
		return err != nil
	})
	out := refused(t, append(args, "--data", filepath.Join(dir, "c"))...)
	if !strings.Contains(out, "start the ingot that wrote it or a newer one") {
		t.Error(out)
	}
	if text := old.Log.String(); !strings.Contains(text, "start the ingot that wrote it or a newer one") {
		t.Error(text)
	}
}

// harnessAddress starts a process that does not make the first token, and returns its URL.
func harnessAddress(t *testing.T, executable, data string, args []string) string {
	t.Helper()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "token"), []byte("unused\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, executable, data, args...).URL
}

// api is one process's.
type api struct {
	t          *testing.T
	url, token string
}

func (a *api) do(method, path, body string, headers ...string) (int, *http.Response) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	a.t.Cleanup(cancel)
	if !strings.HasPrefix(path, "http") {
		path = a.url + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { resp.Body.Close() })
	return resp.StatusCode, resp
}

// An upload is begun at one API process, goes on at another, and is imported by a worker that is neither.
func TestUploadByTwoProcesses(t *testing.T) {
	f := newFleet(t)
	f.start(t)
	disk := bytes.Repeat([]byte("a disk that is sent in two pieces  "), 1<<14)
	copy(disk[510:], []byte{0x55, 0xaa})
	disk = disk[:512<<10]
	at := func(i int) *api { return &api{t, "http://" + f.members[i].address, f.token} }
	tus := []string{"Tus-Resumable", "1.0.0", "Content-Type", "application/offset+octet-stream"}
	code, resp := at(0).do("POST", "/v2/uploads", "", "Tus-Resumable", "1.0.0", "Upload-Length", strconv.Itoa(len(disk)))
	if code != http.StatusCreated {
		t.Fatal(code)
	}
	path := "/v2/uploads/" + filepath.Base(resp.Header.Get("Location"))
	half := len(disk) / 3
	if code, _ := at(0).do("PATCH", path, string(disk[:half]), append(tus, "Upload-Offset", "0")...); code != http.StatusNoContent {
		t.Fatal(code)
	}
	f.members[0].kill()
	code, resp = at(1).do("HEAD", path, "", "Tus-Resumable", "1.0.0")
	if code != http.StatusOK || resp.Header.Get("Upload-Offset") != strconv.Itoa(half) {
		t.Fatalf("%d, offset %s", code, resp.Header.Get("Upload-Offset"))
	}
	if code, _ := at(1).do("PATCH", path, string(disk[half:]), append(tus, "Upload-Offset", strconv.Itoa(half))...); code != http.StatusNoContent {
		t.Fatal(code)
	}
	f.members[0].run()
	f.members[0].ready()
	body := map[string]any{"name": "uploaded", "url": "upload:" + filepath.Base(path), "region": "nyc3"}
	id := f.create(t, 0, "once", body)
	if again := f.create(t, 1, "once", body); again != id {
		t.Errorf("one key made the images %d and %d", id, again)
	}
	f.settled(t, map[int64]source{id: {}})
	if m := f.image(t, id); m.Status != "available" {
		t.Fatalf("%+v\n%s", m, f.logs())
	}
	if !same(f.content(t, id), disk) {
		t.Error("the image differs from what was uploaded")
	}
}

// A request that is sent to all API processes at once, with one key, makes one image.
func TestOneKeyAtOnce(t *testing.T) {
	f := newFleet(t)
	f.start(t)
	for round := range 10 {
		ids := make(chan int64)
		const requests = 8
		for i := range requests {
			go func() {
				code, b, err := f.try(i%apis, "POST", "/v2/images", fmt.Sprint("key ", round), map[string]any{"name": "x", "url": "http://127.0.0.1:1/x", "region": "nyc3"})
				var answer struct{ Image wireImage }
				if err != nil || code != http.StatusAccepted || json.Unmarshal(b, &answer) != nil {
					t.Errorf("%d %s %v", code, b, err)
				}
				ids <- answer.Image.ID
			}()
		}
		first := <-ids
		for range requests - 1 {
			if id := <-ids; id != first {
				t.Errorf("one key made the images %d and %d", first, id)
			}
		}
	}
}
