package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ingot/e2e/harness"
)

// lease is that of the binary's queue.
const lease = 25 * time.Second

// fleet is several processes on one database and store.
type fleet struct {
	dir, uploads, database string
	stored                 func(*testing.T) []string // all that the store holds, marks left out
	args                   []string                  // of ingot serve, for all
	members                []*member
	token                  string
	kills, halts           int
}

// member is a place in the fleet, which one process after the other fills.
type member struct {
	f          *fleet
	t          *testing.T
	name, role string
	data       string
	address    string // of an API
	log        harness.Log

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone chan struct{}
}

// start starts the API processes first: the first of all makes the token.
func (f *fleet) start(t *testing.T) {
	t.Helper()
	for i := range apis {
		f.add(t, fmt.Sprint("api", i), "api")
		f.members[i].ready()
	}
	for i := range workers {
		f.add(t, fmt.Sprint("worker", i), "worker")
	}
	token, err := os.ReadFile(filepath.Join(f.members[0].data, "token"))
	if err != nil {
		t.Fatal(err)
	}
	f.token = strings.TrimSpace(string(token))
}

func (f *fleet) add(t *testing.T, name, role string) {
	t.Helper()
	m := &member{f: f, t: t, name: name, role: role, data: filepath.Join(f.dir, name), address: harness.FreeAddress(t)}
	f.members = append(f.members, m)
	m.run()
	t.Cleanup(m.kill)
}

func (m *member) run() {
	m.mu.Lock()
	defer m.mu.Unlock()
	args := append([]string{"serve", "--data", m.data, "--listen", m.address, "--roles", m.role}, m.f.args...)
	m.cmd = exec.Command(executable, args...)
	m.cmd.Stderr = &m.log
	if err := m.cmd.Start(); err != nil {
		m.t.Error(err)
		return
	}
	m.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) { cmd.Wait(); close(gone) }(m.cmd, m.gone)
}

// kill is kill -9.
func (m *member) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cmd.Process.Kill()
	<-m.gone
}

func (m *member) restart() {
	m.kill()
	m.run()
}

// halt stops a process for a time, which then knows nothing of it.
func (m *member) halt(during time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signal(syscall.SIGSTOP)
	time.Sleep(during)
	m.signal(syscall.SIGCONT)
}

func (m *member) signal(s os.Signal) {
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Error(err)
	}
}

// atWork returns the worker that has run an import the longest, or nil.
func (f *fleet) atWork(h *history) *member {
	var name string
	if err := h.db.QueryRow(`SELECT worker FROM import WHERE state = 'running' AND lease_until > extract(epoch FROM now()) * 1000 + $1
		ORDER BY image_id LIMIT 1`, (lease - 10*time.Second).Milliseconds()).Scan(&name); err != nil {
		return nil
	}
	return f.called(name)
}

// called returns the member whose process calls its worker so, or nil.
func (f *fleet) called(name string) *member {
	for _, m := range f.members {
		m.mu.Lock()
		mine := strings.HasSuffix(name, fmt.Sprint(":", m.cmd.Process.Pid))
		m.mu.Unlock()
		if mine {
			return m
		}
	}
	return nil
}

func (m *member) ready() {
	m.t.Helper()
	m.f.eventually(m.t, m.name+" is ready", func() bool {
		resp, err := http.Get("http://" + m.address + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// command runs a command on the fleet's data, as an operator does beside it.
func (f *fleet) command(name string, args ...string) (string, error) {
	args = append([]string{name, "--database", f.database, "--data", filepath.Join(f.dir, "operator")}, args...)
	out, err := exec.Command(executable, args...).CombinedOutput()
	return string(out), err
}

// eventually waits for what must come; it says nothing of how soon.
func (f *fleet) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s\n%s", what, f.logs())
		}
	}
}

// logs are the ends of what the processes have said.
func (f *fleet) logs() string {
	var all strings.Builder
	for _, m := range f.members {
		text := m.log.String()
		fmt.Fprintf(&all, "--- %s\n%s\n", m.name, text[max(0, len(text)-3000):])
	}
	return all.String()
}

// told counts what happened to the processes.
func (f *fleet) told() string {
	var lost int
	for _, m := range f.members {
		lost += strings.Count(m.log.String(), "its lease is lost") + strings.Count(m.log.String(), "the lease is lost")
	}
	return fmt.Sprintf("%d processes killed, %d halted beyond their lease, %d leases lost and noticed", f.kills, f.halts, lost)
}

// try makes one request to one API process.
func (f *fleet) try(api int, method, path, key string, body any) (int, []byte, error) {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		send = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.members[api].address+path, send)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// create makes an image, by whichever process answers.
func (f *fleet) create(t *testing.T, api int, key string, body any) int64 {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); api = (api + 1) % apis {
		code, b, err := f.try(api, "POST", "/v2/images", key, body)
		if err != nil || code >= 500 {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		var answer struct{ Image wireImage }
		if err := json.Unmarshal(b, &answer); err != nil || code != http.StatusAccepted {
			t.Errorf("create: %d %s %v", code, b, err)
			return 0
		}
		return answer.Image.ID
	}
	t.Error("no API process answered")
	return 0
}

// call makes a request of the whole fleet, once nobody is killed any more.
func (f *fleet) call(t *testing.T, method, path string, into any) int {
	t.Helper()
	code, b := 0, []byte(nil)
	f.eventually(t, method+" "+path, func() (ok bool) {
		var err error
		code, b, err = f.try(0, method, path, "", nil)
		return err == nil && code < 500
	})
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, code, b)
		}
	}
	return code
}

type wireImage struct {
	ID           int64  `json:"id"`
	Status       string `json:"status"`
	ErrorMessage string `json:"error_message"`
}

func (f *fleet) image(t *testing.T, id int64) wireImage {
	t.Helper()
	var answer struct{ Image wireImage }
	f.call(t, "GET", fmt.Sprintf("/v2/images/%d", id), &answer)
	return answer.Image
}

func (f *fleet) errorCode(t *testing.T, id int64) string {
	t.Helper()
	var answer struct {
		Import struct{ Error struct{ Code string } }
	}
	f.call(t, "GET", fmt.Sprintf("/v2/images/%d/import", id), &answer)
	return answer.Import.Error.Code
}

// content reads an image back, by the process that the id falls to.
func (f *fleet) content(t *testing.T, id int64) []byte {
	t.Helper()
	code, b, err := f.try(int(id)%apis, "GET", fmt.Sprintf("/v2/images/%d/file?format=raw", id), "", nil)
	if err != nil || code != http.StatusOK {
		t.Errorf("read image %d: %d %v", id, code, err)
	}
	return b
}
