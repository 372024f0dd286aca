package importer_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/disk/craft"
	"ingot/internal/image"
)

// What the images of naming hold: little, for there are two hundred of them.
var (
	namingGuest = craft.Guest(192*kib, 4)
	namingQCOW2 = craft.Setting{Version: 3, ClusterBits: 16, Size: 192 * kib}
)

// naming are images of every format that names another file, by whatever name is given.
var naming = []struct {
	name string
	make func(target string) []byte
}{
	{"qcow2 backing file", func(target string) []byte {
		q := craft.NewQCOW2(namingQCOW2).Fill(namingGuest)
		q.Big64(8, 512)
		q.Big32(16, uint32(len(target)))
		q.Text(512, target)
		return q.Bytes
	}},
	{"qcow2 data file", func(target string) []byte {
		q := craft.NewQCOW2(namingQCOW2).Fill(namingGuest)
		q.Big64(72, 4)
		qcow2Extension(0x44415441, uint32(len(target)), target)(q)
		return q.Bytes
	}},
	{"qcow2 data file, bit clear", func(target string) []byte {
		q := craft.NewQCOW2(namingQCOW2).Fill(namingGuest)
		qcow2Extension(0x44415441, uint32(len(target)), target)(q)
		return q.Bytes
	}},
	{"VMDK text descriptor", func(target string) []byte {
		return []byte("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"" + target + "\" 0\n")
	}},
	{"VMDK parent", func(target string) []byte {
		return craft.SparseVMDK(namingGuest, strings.Replace(craft.SparseDescriptor, "parentCID=ffffffff", "parentCID=7e5b80a7", 1)+
			"parentFileNameHint=\""+target+"\"\n").Bytes
	}},
	{"VMDK parent's name alone", func(target string) []byte {
		return craft.SparseVMDK(namingGuest, craft.SparseDescriptor+"parentFileNameHint=\""+target+"\"\n").Bytes
	}},
	{"VMDK extent", func(target string) []byte {
		return craft.SparseVMDK(namingGuest, craft.SparseDescriptor+"RW 8 FLAT \""+target+"\" 0\n").Bytes
	}},
	{"VMDK of capacity 0", func(target string) []byte {
		m := craft.SparseVMDK(namingGuest, strings.Replace(craft.SparseDescriptor, "SPARSE \"a.vmdk\"", "FLAT \""+target+"\" 0", 1))
		m.Put64(12, 0)
		return m.Bytes
	}},
	{"VHDX parent locator", func(target string) []byte {
		v := craft.NewVHDX(namingGuest)
		v.Item(craft.VHDXParentLocator, 4, []byte(target))
		return v.Bytes
	}},
}

// TestNothingElseIsRead has images name files that hold a secret, that are missing, and that would block whoever opened
// them. What the user reads must be one text, and no URL that an image names may be asked for.
func TestNothingElseIsRead(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	b := newBench(t, options{})
	var asked atomic.Int32
	secretURL := b.serve("/secret", func(w http.ResponseWriter, r *http.Request) { asked.Add(1); w.Write([]byte("secret")) })
	// Names of one length, so that where texts give places those are the same.
	for _, folder := range []string{dir, b.scratch, b.store} {
		for _, name := range []string{"secret", "a.vmdk"} {
			if err := os.WriteFile(filepath.Join(folder, name), craft.SparseVMDK(namingGuest, craft.SparseDescriptor).Bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Mkfifo(filepath.Join(folder, "blocks"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spellings := map[string]func(name string) string{
		"relative": func(name string) string { return name },
		"absolute": func(name string) string { return filepath.Join(dir, name) },
		"upwards":  func(name string) string { return "../" + filepath.Base(dir) + "/" + name },
		"in json": func(name string) string {
			return `json:{'driver':'file','filename':'` + filepath.Join(dir, name) + `'}`
		},
		"file: URL": func(name string) string { return "file:" + filepath.Join(dir, name) },
		"URL":       func(name string) string { return strings.TrimSuffix(secretURL, "secret") + name },
		"scratch":   func(name string) string { return filepath.Join(b.scratch, name) },
	}
	for _, image := range naming {
		for how, spell := range spellings {
			path := "/" + strings.ReplaceAll(image.name+"/"+how, " ", "-")
			secret := b.said(path+"/1", image.make(spell("secret")), "secret")
			for i, other := range []string{"absent", "blocks"} {
				if diff := cmp.Diff(secret, b.said(path+"/"+string(rune('2'+i)), image.make(spell(other)), other)); diff != "" {
					t.Errorf("%s, %s: the texts for a file that exists and one that is %s differ:\n%s", image.name, how, other, diff)
				}
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("a URL that an image names was asked for %d times", n)
	}
}

// said imports a file, which must be refused, and returns what the user reads, with the name in it replaced.
func (b *bench) said(path string, file []byte, name string) string {
	b.t.Helper()
	m, p := b.settled(b.post(b.file(path, func() []byte { return file })))
	if m.Status != image.Deleted {
		b.t.Errorf("%s: %s", path, m.Status)
	}
	return strings.ReplaceAll(p.ErrorCode+": "+m.ErrorMessage, name, "NAME")
}
