package api_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/disk/disktest"
)

// QEMU reads both formats straight from the URL, with the token as password: HEAD first, then ranges. It
// counts a disk in whole sectors.
func TestQEMUReadsTheURL(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	s := newService(t, nil)
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 3000777 1000")
	guest, err := os.Create(filepath.Join(t.TempDir(), "guest.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	if _, err := guest.Write(s.disk.(*memory).bytes); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			file, err := url.Parse(s.server.URL + "/v2/images/1/file?format=" + format)
			if err != nil {
				t.Fatal(err)
			}
			file.User = url.UserPassword("token", s.tokens["alice"])
			address := file.String()
			var info struct {
				Size   int64 `json:"virtual-size"`
				Format string
			}
			out := disktest.Run(t, "qemu-img", "info", "-f", format, "--output", "json", address)
			if err := json.Unmarshal([]byte(out), &info); err != nil || info.Format != format || info.Size != 3_000_832 {
				t.Errorf("%v: %s", err, out)
			}
			disktest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", format, guest.Name(), address)
		})
	}
}
