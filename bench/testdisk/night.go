package testdisk

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Nights builds a tree anew for each night, as a builder of images does, with the packages of that night.
type Nights struct {
	base     string
	work     string
	packages []string            // names, in order
	files    map[string][]string // of each package, relative
	everyRD  bool
}

// NewNights reads which files belong to which package of a Debian. With everyInitrd the initial RAM disk is another one
// every night, as a build that ignores SOURCE_DATE_EPOCH makes it; else it is another one when a package in it changes.
func NewNights(base, work string, everyInitrd bool) (*Nights, error) {
	n := &Nights{base: base, work: work, files: map[string][]string{}, everyRD: everyInitrd}
	lists, err := filepath.Glob(filepath.Join(base, "var/lib/dpkg/info/*.list"))
	if err != nil {
		return nil, err
	}
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".list")
		for line := range strings.Lines(string(text)) {
			rel := strings.TrimSpace(strings.TrimPrefix(line, "/"))
			if info, err := os.Lstat(filepath.Join(base, rel)); err == nil && info.Mode().IsRegular() {
				n.files[name] = append(n.files[name], rel)
			}
		}
		if len(n.files[name]) > 0 {
			n.packages = append(n.packages, name)
		}
	}
	if len(n.packages) == 0 {
		return nil, fmt.Errorf("%s: no packages", base)
	}
	return n, nil
}

// state is what one night's image consists of.
type state struct {
	version map[string]int // how often each package has been upgraded
	absent  map[string]bool
	initrd  int
	log     []string
}

// inInitrd are the packages that make the initial RAM disk another one.
var inInitrd = []string{"linux-image", "initramfs", "busybox", "udev", "kmod", "libc6", "e2fsprogs", "klibc", "libklibc"}

// state returns what a night's image consists of: five to ten packages upgraded on each night before it, and two in
// three nights a package gone or one back.
func (n *Nights) state(night int) state {
	rng := rand.New(rand.NewPCG(20, 2026))
	s := state{version: map[string]int{}, absent: map[string]bool{}}
	for k := 1; k <= night; k++ {
		s.log = nil
		changed := n.everyRD
		for range 5 + rng.IntN(6) {
			p := n.packages[rng.IntN(len(n.packages))]
			s.version[p]++
			s.log = append(s.log, p)
			changed = changed || slices.ContainsFunc(inInitrd, func(prefix string) bool { return strings.HasPrefix(p, prefix) })
		}
		if changed {
			s.initrd++
		}
		if k%3 != 0 {
			p := n.packages[rng.IntN(len(n.packages))]
			s.absent[p] = !s.absent[p]
			s.log = append(s.log, "±"+p)
		}
	}
	return s
}

// Tree makes a night's tree; night 0 is the Debian itself. The names of what changed against the night before are returned too. The
// tree is the caller's to remove; files that did not change are hard links to the Debian's.
func (n *Nights) Tree(ctx context.Context, night int) (tree string, changed []string, err error) {
	tree = filepath.Join(n.work, fmt.Sprintf("night-%02d", night))
	if err := Link(ctx, n.base, tree); err != nil {
		return "", nil, err
	}
	s := n.state(night)
	for p := range s.absent {
		for _, f := range n.files[p] {
			if s.absent[p] && !strings.HasPrefix(f, "var/lib/dpkg") {
				os.Remove(filepath.Join(tree, f))
			}
		}
	}
	for p, version := range s.version {
		if s.absent[p] {
			continue
		}
		for _, f := range n.files[p] {
			if err := upgrade(tree, f, p, version); err != nil {
				return "", nil, err
			}
		}
	}
	return tree, s.log, n.ownToNight(tree, night, s)
}

// ownToNight writes what is another one in every build: keys, identities, logs, and the package manager's notes.
func (n *Nights) ownToNight(tree string, night int, s state) error {
	rng := rand.New(rand.NewPCG(uint64(night), 1))
	for _, pattern := range []string{"etc/machine-id", "etc/ssh/ssh_host_*", "var/log/*", "var/log/*/*", "var/lib/systemd/random-seed"} {
		paths, _ := filepath.Glob(filepath.Join(tree, pattern))
		for _, path := range paths {
			if err := replace(path, func(b []byte) []byte { return noise(rng, len(b)) }); err != nil {
				return err
			}
		}
	}
	if initrds, _ := filepath.Glob(filepath.Join(tree, "boot/initrd*")); s.initrd > 0 {
		rng := rand.New(rand.NewPCG(uint64(s.initrd), 2))
		for _, path := range initrds {
			if err := replace(path, func(b []byte) []byte { return noise(rng, len(b)) }); err != nil {
				return err
			}
		}
	}
	return replace(filepath.Join(tree, "var/lib/dpkg/status"), func(b []byte) []byte {
		for p, version := range s.version {
			name, _, _ := strings.Cut(p, ":")
			entry := []byte("Package: " + name + "\nStatus: install ok installed\n")
			b = bytes.Replace(b, entry, fmt.Appendf(entry, "X-Build: %d\n", version), 1)
		}
		return b
	})
}

// upgrade makes a file of a package what it is in a later version: programs and libraries are compiled anew, of the
// others every fourth has changed.
func upgrade(tree, file, pkg string, version int) error {
	rng := rand.New(rand.NewPCG(uint64(version), seed(pkg+file)))
	path := filepath.Join(tree, file)
	return replace(path, func(b []byte) []byte {
		switch {
		case bytes.HasPrefix(b, []byte("\x7fELF")):
			return recompile(rng, b)
		case strings.HasSuffix(file, ".gz") && strings.Contains(file, "changelog"):
			return noise(rng, len(b)+rng.IntN(60))
		case rng.IntN(4) > 0 || len(b) == 0:
			return b
		case strings.HasSuffix(file, ".gz"), strings.HasSuffix(file, ".xz"), strings.HasSuffix(file, ".zst"):
			return noise(rng, len(b)+rng.IntN(60))
		}
		at := rng.IntN(len(b))
		return slices.Insert(b, at, []byte(fmt.Sprintf("# changed in build %d\n", version))...)
	})
}

// recompile moves all but the first KB by some bytes, and changes an address in every KB: no page stays what it was.
func recompile(rng *rand.Rand, b []byte) []byte {
	if len(b) > 1024 {
		b = slices.Insert(b, 1024, noise(rng, 16*(1+rng.IntN(64)))...)
	}
	for at := rng.IntN(1024); at+4 <= len(b); at += 512 + rng.IntN(1024) {
		copy(b[at:], noise(rng, 4))
	}
	return b
}

// replace writes a file anew, with its owner and mode: the old one may be a hard link to the Debian's.
func replace(path string, change func([]byte) []byte) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ignoreMissing(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, change(b), 0o600); err != nil {
		return err
	}
	if err := copyOwner(temporary, info); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := rng.Uint64()
		for j := i; j < min(i+8, n); j++ {
			b[j] = byte(v >> (8 * (j - i)))
		}
	}
	return b
}

func seed(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
