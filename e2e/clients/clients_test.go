// Package clients tests Ingot with clients that were written for DigitalOcean, unmodified: one script each, run against
// the real binary. docs/clients.md shows the lines by which each finds Ingot.
package clients

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/e2e/harness"
	"ingot/internal/disk/disktest"
)

var (
	executable string                   // built once by TestMain
	npmFolder  = sync.OnceValues(npmCI) // made by the first client that runs on Node
	scratch    string                   // of all tests
)

func TestMain(m *testing.M) {
	os.Exit(func() (code int) {
		var err error
		if scratch, err = os.MkdirTemp("", "ingot-clients-"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(scratch)
		if executable, err = harness.Build(scratch); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// client is one library or tool and the script that drives it.
type client struct {
	name    string
	need    func(*testing.T)
	folder  func(*testing.T) string // where it runs
	command []string
	pages   []string // lists all private images: ids on standard output, or in the file $OUT
	slash   bool     // its base URL may end with a slash
	// environment says where the service is. url has no slash at the end, ca is the file of an authority that the
	// service's certificate is from.
	environment func(url, token, ca string) []string
}

const python = "/usr/bin/python3" // Debian's, which has Debian's modules

func clients() []client {
	return []client{{
		name: "curl", need: needCurl, folder: here, slash: true,
		command: []string{"./curl.sh"}, pages: []string{"./curl.sh", "pages"},
		environment: func(url, token, ca string) []string {
			return []string{"INGOT_URL=" + url, "INGOT_TOKEN=" + token, "CURL_CA_BUNDLE=" + ca}
		},
	}, {
		name: "@digitalocean/gradient", need: needNode, folder: nodeModules, slash: true,
		command: []string{"node", "gradient.mjs"}, pages: []string{"node", "gradient.mjs", "pages"},
		environment: func(url, token, ca string) []string {
			return []string{"GRADIENT_BASE_URL=" + url, "DIGITALOCEAN_ACCESS_TOKEN=" + token, "NODE_EXTRA_CA_CERTS=" + ca}
		},
	}, {
		name: "dots-wrapper", need: needNode, folder: nodeModules, slash: true,
		command: []string{"node", "dots.cjs"}, pages: []string{"node", "dots.cjs", "pages"},
		environment: func(url, token, ca string) []string {
			return []string{"INGOT_URL=" + url, "INGOT_TOKEN=" + token, "NODE_EXTRA_CA_CERTS=" + ca}
		},
	}, {
		name: "python-digitalocean", need: needModule("digitalocean"), folder: here,
		command: []string{python, "python_digitalocean.py"}, pages: []string{python, "python_digitalocean.py", "pages"},
		environment: func(url, token, ca string) []string {
			return []string{"DIGITALOCEAN_END_POINT=" + url + "/v2/", "DIGITALOCEAN_ACCESS_TOKEN=" + token, "REQUESTS_CA_BUNDLE=" + ca}
		},
	}, {
		name: "Apache libcloud", need: needModule("libcloud"), folder: here,
		command: []string{python, "apache_libcloud.py"}, pages: []string{python, "apache_libcloud.py", "pages"},
		environment: func(url, token, ca string) []string {
			return []string{"INGOT_URL=" + url, "INGOT_TOKEN=" + token, "SSL_CERT_FILE=" + ca}
		},
	}, {
		name: "Ansible", need: needAnsible, folder: here,
		command: []string{"ansible-playbook", "ansible.yml"}, pages: []string{"ansible-playbook", "ansible_pages.yml"},
		environment: func(url, token, ca string) []string {
			return []string{"INGOT_URL=" + url, "DO_API_TOKEN=" + token, "SSL_CERT_FILE=" + ca}
		},
	}}
}

// TestClients runs every script on a service of its own: over HTTP, over HTTPS with an authority that the client must be
// told to trust, and with a slash at the end of a URL where people write one.
func TestClients(t *testing.T) {
	o := newOrigin(t)
	ca := newAuthority(t)
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			c.need(t)
			dir := c.folder(t)
			t.Run("http", func(t *testing.T) {
				data := t.TempDir()
				s := harness.Start(t, executable, data, "--allow-source", o.allow())
				c.run(t, s, dir, c.command, append(c.environment(s.URL, furnish(t, o, data), ca.file), o.sources()...))
			})
			t.Run("https", func(t *testing.T) {
				data := t.TempDir()
				s := harness.StartTLS(t, ca.client, executable, data, append(ca.flags, "--allow-source", o.allow())...)
				c.run(t, s, dir, c.command, append(c.environment(s.URL, furnish(t, o, data), ca.file), o.sources()...))
			})
			if !c.slash {
				return
			}
			t.Run("slash", func(t *testing.T) {
				data := t.TempDir()
				s := harness.Start(t, executable, data, "--allow-source", o.allow())
				c.run(t, s, dir, c.command, append(c.environment(s.URL+"/", furnish(t, o, data), ca.file), o.sources()...))
			})
		})
	}
}

// furnish gives a service a public image that the operator owns, and another account, whose token it returns.
func furnish(t *testing.T, o origin, data string) string {
	t.Helper()
	ingot(t, "publish", "--data", data, "--url", o.URL+"/debian.raw", "--slug", "debian-12-x64", "--kind", "distribution", "--distribution", "Debian")
	ingot(t, "account", "create", "--data", data, "team")
	return strings.TrimSpace(ingot(t, "token", "create", "--data", data, "--account", "team"))
}

func ingot(t *testing.T, args ...string) string {
	t.Helper()
	return disktest.Run(t, executable, args...)
}

// run runs a command in an environment that knows nothing of this machine's own settings, and returns its output.
func (c client) run(t *testing.T, s *harness.Service, dir string, command, environment []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"}, environment...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s\n%s", strings.Join(command, " "), err, out, stderr.String(), end(s.Log.String()))
	}
	t.Logf("%s: %.1f s", strings.Join(command, " "), time.Since(start).Seconds())
	return string(out)
}

// end is the part of a log that a person reads.
func end(log string) string { return log[max(0, len(log)-4<<10):] }

// origin is the web server that images are imported from: a small disk, and answers that never end.
type origin struct{ *httptest.Server }

func newOrigin(t *testing.T) origin {
	t.Helper()
	disk := make([]byte, 1<<20)
	disk[510], disk[511] = 0x55, 0xaa // a boot sector's signature
	over := make(chan struct{})
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) { w.Write(disk) }
	mux.HandleFunc("/disk.raw", answer)
	mux.HandleFunc("/debian.raw", answer)
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	o := origin{httptest.NewServer(mux)}
	t.Cleanup(func() { close(over); o.CloseClientConnections(); o.Close() })
	return o
}

// allow is the host and port for --allow-source.
func (o origin) allow() string { return strings.TrimPrefix(o.URL, "http://") }

// sources tells a script what to import.
func (o origin) sources() []string {
	return []string{"SOURCE=" + o.URL + "/disk.raw", "BAD_SOURCE=" + o.URL + "/absent.raw"}
}

func here(*testing.T) string { return "." }

func needCurl(t *testing.T) { disktest.NeedTool(t, "curl") }

func needNode(t *testing.T) { disktest.NeedTool(t, "node", "npm") }

func needModule(name string) func(*testing.T) {
	return func(t *testing.T) {
		disktest.NeedTool(t, python)
		need(t, exec.Command(python, "-c", "import "+name).Run() == nil, "python3-"+name)
	}
}

// needAnsible asks for Debian's ansible, which brings community.digitalocean; ansible-core does not.
func needAnsible(t *testing.T) {
	disktest.NeedTool(t, "ansible-playbook")
	need(t, exec.Command("ansible-doc", "community.digitalocean.digital_ocean_image_info").Run() == nil, "ansible's collection community.digitalocean")
}

func need(t *testing.T, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing; see scripts/tools.sh", what)
	default:
		t.Skipf("%s is missing; scripts/tools.sh installs it", what)
	}
}

func nodeModules(t *testing.T) string {
	t.Helper()
	dir, err := npmFolder()
	need(t, err == nil, fmt.Sprintf("what npm ci fetches (%v)", err))
	return dir
}

// npmCI copies the scripts for Node to a folder and installs there what they import.
func npmCI() (string, error) {
	dir := filepath.Join(scratch, "node")
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
}
