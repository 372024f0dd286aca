package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/e2e/harness"
	"ingot/internal/disk/disktest"
)

// bootLine is what the guest of bootDisk prints.
const bootLine = "ingot: this disk boots"

// bootDisk is a disk whose boot sector prints bootLine on the first serial port (0x3f8) and halts.
func bootDisk() []byte {
	code := []byte{
		0xfa,       // cli
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xfc,             // cld
		0xbe, 0x20, 0x7c, // mov si, 0x7c20        the text, behind the code
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x11, // jz done
		0x88, 0xc4, // mov ah, al
		0xba, 0xfd, 0x03, // mov dx, 0x3fd          line status
		0xec,       // wait: in al, dx
		0xa8, 0x20, // test al, 0x20           room for a byte
		0x74, 0xfb, // jz wait
		0x88, 0xe0, // mov al, ah
		0xb2, 0xf8, // mov dl, 0xf8            data
		0xee,       // out dx, al
		0xeb, 0xea, // jmp next
		0xf4, // done: hlt
	}
	disk := make([]byte, 8<<20)
	copy(disk, code)
	copy(disk[0x20:], bootLine+"\r\n\x00")
	disk[510], disk[511] = 0x55, 0xaa
	copy(disk[5<<20:], "and this is its data")
	return disk
}

func TestAnImageBootsFromItsURL(t *testing.T) {
	disktest.NeedTool(t, "qemu-system-x86_64")
	o := newOrigin(t, map[string][]byte{"disk.raw": bootDisk()})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	id := s.create("bootable", o.URL+"/disk.raw")
	if m := s.settled(id); m.Status != "available" {
		t.Fatalf("%+v", m)
	}
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			var answer struct{ Link struct{ URL string } }
			body := map[string]any{"format": format, "expires_in": 600}
			if code := s.call("POST", fmt.Sprintf("/v2/images/%d/links", id), body, &answer); code != http.StatusCreated {
				t.Fatalf("link: %d", code)
			}
			boots(t, answer.Link.URL, format)
		})
	}
}

// boots starts a machine from a URL and waits for its line.
func boots(t *testing.T, address, format string) {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	machine := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-m", "32", "-display", "none", "-nodefaults",
		"-serial", "stdio", "-no-reboot", "-drive", "if=ide,snapshot=on,format="+format+",file="+strings.ReplaceAll(address, ",", ",,"))
	var stderr bytes.Buffer
	machine.Stderr = &stderr
	serial, err := machine.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(serial)
	found := false
	for !found && said.Scan() {
		found = strings.Contains(said.Text(), bootLine)
	}
	cancel() // the guest has halted, and its machine would stand there for ever
	_ = machine.Wait()
	if !found {
		t.Errorf("the guest said nothing of the sort\n%s", stderr.Bytes())
	}
}

// fetched returns a range of a path; length 0 is the whole.
func (s *service) fetched(path string, off, length int64) []byte {
	s.t.Helper()
	req, err := http.NewRequest("GET", s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	if length > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+length-1))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 || length > 0 && int64(len(b)) != length {
		s.t.Fatalf("GET %s: %d, %d bytes, %v", path, resp.StatusCode, len(b), err)
	}
	return b
}

// A client that has last night's image builds tonight's from it, with the manifest and what changed, as docs/api.md says.
func TestOnlyWhatChangedIsFetched(t *testing.T) {
	old := rawDisk(24<<20, 11)
	disk := bytes.Clone(old)
	copy(disk[9<<20+12345:], "a line of a configuration file that somebody edited")
	clear(disk[17<<20 : 18<<20])
	o := newOrigin(t, map[string][]byte{"old.raw": old, "new.raw": disk})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	first, second := s.create("old", o.URL+"/old.raw"), s.create("new", o.URL+"/new.raw")
	if s.settled(first).Status != "available" || s.settled(second).Status != "available" {
		t.Fatal(s.Log)
	}

	path := fmt.Sprintf("/v2/images/%d", second)
	manifest := s.fetched(path+"/manifest", 0, 0)
	if part := s.fetched(path+"/manifest", 100, 1000); !bytes.Equal(part, manifest[100:1100]) {
		t.Error("a range of the manifest is not that of the whole")
	}
	trailer := manifest[len(manifest)-40:]
	count := int64(binary.LittleEndian.Uint64(trailer[32:]))
	blocks := (count + 1023) / 1024
	root := sha256.Sum256(manifest[int64(len(manifest))-40*blocks-40:])
	if string(trailer[:8]) != "INGOTMAN" || hex.EncodeToString(root[:]) != s.progress(second).ContentDigest {
		t.Fatalf("the manifest is not that of the image: %q", trailer)
	}
	built := make([]byte, binary.LittleEndian.Uint64(trailer[16:]))
	var fetched int64
	for r := manifest; count > 0; r, count = r[44:], count-1 {
		off, n := int64(binary.LittleEndian.Uint64(r)), int64(binary.LittleEndian.Uint32(r[8:]))
		if sum := sha256.Sum256(old[off : off+n]); bytes.Equal(sum[:], r[12:44]) {
			copy(built[off:], old[off:off+n])
			continue
		}
		fetched += n
		copy(built[off:], s.fetched(path+"/file?format=raw", off, n))
	}
	if !bytes.Equal(built, disk) {
		t.Error("what was built differs from the image")
	}
	if fetched == 0 || fetched > 1<<20 {
		t.Errorf("%d bytes were fetched", fetched)
	}
	t.Logf("%d bytes fetched of %d", fetched, len(disk))
}

func TestChecksums(t *testing.T) {
	disk := rawDisk(8<<20, 12)
	packed := gzipped(t, disk)
	o := newOrigin(t, map[string][]byte{"disk.raw": disk, "disk.raw.gz": packed})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	whole, gz := sha256.Sum256(disk), sha256.Sum256(packed)
	wrong := hex.EncodeToString(gz[:])

	// A raw disk is kept while it is read, so what is wrong shows after all of it has been written.
	for _, sum := range []string{"sha256=" + wrong, "sha512=" + wrong + wrong} {
		id := s.create("wrong", o.URL+"/disk.raw#"+sum)
		if m := s.settled(id); m.Status != "deleted" || !strings.Contains(m.ErrorMessage, hex.EncodeToString(whole[:])) && strings.HasPrefix(sum, "sha256") {
			t.Errorf("%s: %+v", sum, m)
		}
	}
	s.Eventually("nothing of both is kept", func() bool { return bytesUnder(t, filepath.Join(s.data, "store")) == 0 })

	id := s.create("right", o.URL+"/disk.raw.gz#sha256="+wrong) // which is right for this file
	if m := s.settled(id); m.Status != "available" {
		t.Fatalf("%+v", m)
	}
	p := s.progress(id)
	if p.SourceSHA256 != wrong || len(p.ContentDigest) != 64 {
		t.Errorf("the report: %+v", p)
	}
}

// What ingot usage and GET /v2/usage say adds up to the sizes of the files in the store.
func TestUsageAddsUp(t *testing.T) {
	one := rawDisk(24<<20, 13)
	two := bytes.Clone(one)
	copy(two[12<<20:], rawDisk(6<<20, 14))
	o := newOrigin(t, map[string][]byte{"one.raw": one, "two.raw": two})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	for _, name := range []string{"one", "two", "one"} {
		if m := s.settled(s.create(name, o.URL+"/"+name+".raw")); m.Status != "available" {
			t.Fatalf("%+v\n%s", m, s.Log)
		}
	}
	ingot(t, "gc", "--data", s.data) // the third manifest, and chunks that two imports wrote at once
	type held struct {
		Logical int64 `json:"logical_bytes"`
		Stored  int64 `json:"stored_bytes"`
		Shared  int64 `json:"shared_bytes"`
	}
	var answer struct {
		Usage struct {
			Account struct {
				held
				Images int
			}
			Images []held
		}
	}
	if code := s.call("GET", "/v2/usage", nil, &answer); code != http.StatusOK {
		t.Fatalf("%d", code)
	}
	var sum held
	for _, u := range answer.Usage.Images {
		sum.Logical, sum.Stored, sum.Shared = sum.Logical+u.Logical, sum.Stored+u.Stored, sum.Shared+u.Shared
	}
	onDisk := bytesUnder(t, filepath.Join(s.data, "store"))
	account := answer.Usage.Account
	if sum != account.held || account.Images != 3 || account.Stored != onDisk || account.Shared == 0 {
		t.Errorf("the images hold %+v, the account %+v, the store %d bytes", sum, account, onDisk)
	}
	out := ingot(t, "usage", "--bytes", "--data", s.data)
	if !strings.Contains(out, fmt.Sprint(onDisk)+"  ") || !strings.Contains(out, "default") {
		t.Errorf("%d bytes in the store\n%s", onDisk, out)
	}
	own := ingot(t, "usage", "-o", "json", "--service", s.URL, "--token", s.Token)
	stored := ingot(t, "usage", "-o", "json", "--account", "default", "--data", s.data)
	var said struct {
		Account held
		Images  []held
	}
	if err := json.Unmarshal([]byte(own), &said); err != nil || said.Account != account.held || !slices.Equal(said.Images, answer.Usage.Images) || own != stored {
		t.Errorf("through the API (%v)\n%sfrom the catalogue\n%s", err, own, stored)
	}
	var all struct {
		Accounts []struct {
			Name   string
			Images int
			held
		}
		Stored int64 `json:"stored_bytes"`
		Other  int64 `json:"other_bytes"`
	}
	operators := ingot(t, "usage", "-o", "json", "--data", s.data, "--service", s.URL)
	if err := json.Unmarshal([]byte(operators), &all); err != nil || len(all.Accounts) != 1 || all.Accounts[0].held != account.held || all.Stored != onDisk || all.Other != 0 {
		t.Errorf("%v: the operator's\n%s", err, operators)
	}
	t.Logf("%+v\n%s%s", answer.Usage, out, ingot(t, "usage", "--account", "default", "--data", s.data))
}
