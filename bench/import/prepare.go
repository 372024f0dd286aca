package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"ingot/bench/testdisk"
)

// prepared is what the measurements read.
type prepared struct {
	folder string
	files  []testdisk.File
	near   testdisk.File
	parts  map[string][]testdisk.File // by kind: four disks that share nothing
	data   [2]string                  // the halves of the disk's data without its holes; .gz and .zst stand beside them
	bytes  int64
}

// parted is how many disks are made of disjoint parts of the Debian's files.
const parted = 4

// prepare makes what is not there yet.
func prepare(ctx context.Context, cfg config) (*prepared, error) {
	size := testdisk.Large
	if cfg.bytes > 0 && cfg.bytes < 500e6 {
		size = testdisk.Small
	}
	base, err := testdisk.Debian(ctx, cfg.work, size)
	if err != nil {
		return nil, err
	}
	p := &prepared{folder: filepath.Join(cfg.work, fmt.Sprintf("disks-%s-%d-%d", size, cfg.bytes, cfg.virtual)), parts: map[string][]testdisk.File{}}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return nil, err
	}
	m := maker{p, cfg, base}
	raw, err := m.disk(ctx, "disk", func(to string) error { return m.tree(ctx, base, to) })
	if err != nil {
		return nil, err
	}
	for _, k := range testdisk.Kinds {
		if cfg.wants(k.Name) || k.Name == "qcow2" && (cfg.wants("again") || cfg.wants("near")) {
			f, err := testdisk.Convert(ctx, raw, k.Name)
			if err != nil {
				return nil, err
			}
			p.files = append(p.files, f)
		}
	}
	if err := m.halves(ctx, raw); err != nil {
		return nil, err
	}
	if cfg.wants("near") {
		if err := m.nearDisk(ctx); err != nil {
			return nil, err
		}
	}
	return p, m.partDisks(ctx)
}

// maker makes disks of the files of a Debian.
type maker struct {
	*prepared
	cfg  config
	base string
}

// tree makes a folder of as many of a Debian's files as the disk shall have.
func (m maker) tree(ctx context.Context, from, to string) error {
	if m.cfg.bytes == 0 {
		return testdisk.Link(ctx, from, to)
	}
	return testdisk.Part(ctx, from, to, 0, 1, m.cfg.bytes)
}

func (m maker) limit() int64 {
	if m.cfg.bytes == 0 {
		return math.MaxInt64
	}
	return m.cfg.bytes
}

// disk makes a raw disk of the tree that fill makes, unless it is there.
func (m maker) disk(ctx context.Context, name string, fill func(to string) error) (string, error) {
	raw := filepath.Join(m.folder, name+".raw")
	if _, err := os.Stat(raw); err == nil {
		return raw, nil
	}
	fmt.Fprintln(os.Stderr, "making", raw)
	tree := filepath.Join(m.folder, "tree-"+name)
	defer os.RemoveAll(tree)
	if err := fill(tree); err != nil {
		return "", err
	}
	return raw, testdisk.Raw(ctx, tree, raw, m.cfg.virtual)
}

// halves makes the input of the floor's stages.
func (m maker) halves(ctx context.Context, raw string) error {
	m.data = [2]string{filepath.Join(m.folder, "data.0"), filepath.Join(m.folder, "data.1")}
	var err error
	if m.bytes, err = testdisk.Data(raw, m.data); err != nil {
		return err
	}
	if _, err := os.Stat(m.data[1] + ".zst"); err == nil {
		return nil
	}
	return testdisk.Script(ctx, "set -e; gzip -kf $a & gzip -kf $b; wait $!; zstd -qkf -3 -T2 $a $b", "a="+m.data[0], "b="+m.data[1])
}

// nearDisk makes the same Debian a night later.
func (m maker) nearDisk(ctx context.Context) error {
	out := filepath.Join(m.folder, "near.qcow2")
	raw := filepath.Join(m.folder, "near.raw")
	if _, err := os.Stat(out); err != nil {
		if _, err := m.disk(ctx, "near", func(to string) error { return m.nextNight(ctx, to) }); err != nil {
			return err
		}
		defer os.Remove(raw)
	}
	var err error
	m.near, err = testdisk.Convert(ctx, raw, "qcow2")
	m.near.Name = "near"
	return err
}

func (m maker) nextNight(ctx context.Context, to string) error {
	nights, err := testdisk.NewNights(m.base, m.cfg.work, false)
	if err != nil {
		return err
	}
	tree, changed, err := nights.Tree(ctx, 1)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	fmt.Fprintln(os.Stderr, "changed:", changed)
	return m.tree(ctx, tree, to)
}

// partDisks makes the disks that are imported at once.
func (m maker) partDisks(ctx context.Context) error {
	for k := range parted {
		if len(m.cfg.atOnce) == 0 {
			return nil
		}
		raw, err := m.disk(ctx, fmt.Sprintf("part%d", k), func(to string) error {
			return testdisk.Part(ctx, m.base, to, k, parted, m.limit()/parted)
		})
		if err != nil {
			return err
		}
		for _, kind := range slices.Compact(slices.Sorted(slices.Values(m.cfg.atOnce))) {
			f, err := testdisk.Convert(ctx, raw, kind)
			if err != nil {
				return err
			}
			m.parts[kind] = append(m.parts[kind], f)
		}
	}
	return nil
}
