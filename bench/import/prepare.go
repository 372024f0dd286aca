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
	testdisk.Disk
	files []testdisk.File
	near  testdisk.File
	parts map[string][]testdisk.File // by kind: four disks that share nothing
	data  [2]string                  // the halves of the disk's data without its holes; .gz and .zst stand beside them
	bytes int64
}

// parted is how many disks are made of disjoint parts of the Debian's files.
const parted = 4

// prepare makes what is not there yet.
func prepare(ctx context.Context, cfg config) (*prepared, error) {
	disk, err := testdisk.Installed(ctx, cfg.work, cfg.bytes, cfg.virtual)
	if err != nil {
		return nil, err
	}
	p := &prepared{Disk: disk, parts: map[string][]testdisk.File{}}
	for _, k := range testdisk.Kinds {
		if cfg.wants(k.Name) || k.Name == "qcow2" && (cfg.wants("again") || cfg.wants("near")) {
			f, err := testdisk.Convert(ctx, p.Raw, k.Name)
			if err != nil {
				return nil, err
			}
			p.files = append(p.files, f)
		}
	}
	if err := p.halves(ctx); err != nil {
		return nil, err
	}
	if cfg.wants("again") || cfg.wants("near") { // they are measured together
		if err := p.nearDisk(ctx); err != nil {
			return nil, err
		}
	}
	return p, p.partDisks(ctx, cfg)
}

// halves makes the input of the floor's stages.
func (p *prepared) halves(ctx context.Context) (err error) {
	p.data = [2]string{filepath.Join(p.Folder, "data.0"), filepath.Join(p.Folder, "data.1")}
	if p.bytes, err = testdisk.Data(p.Raw, p.data); err != nil {
		return err
	}
	if _, err := os.Stat(p.data[1] + ".zst"); err == nil {
		return nil
	}
	return testdisk.Script(ctx, "set -e; gzip -kf $a & gzip -kf $b; wait $!; zstd -qkf -3 -T2 $a $b", "a="+p.data[0], "b="+p.data[1])
}

// nearDisk makes the same Debian a night later; of its raw disk, which is the larger part of it, nothing stays.
func (p *prepared) nearDisk(ctx context.Context) (err error) {
	raw := filepath.Join(p.Folder, "near.raw")
	if _, err := os.Stat(filepath.Join(p.Folder, "near.qcow2")); err != nil {
		if raw, err = p.NextNight(ctx); err != nil {
			return err
		}
		defer os.Remove(raw)
	}
	p.near, err = testdisk.Convert(ctx, raw, "qcow2")
	p.near.Name = "near"
	return err
}

// partDisks makes the disks that are imported at once.
func (p *prepared) partDisks(ctx context.Context, cfg config) error {
	most := int64(math.MaxInt64)
	if cfg.bytes > 0 {
		most = cfg.bytes / parted
	}
	for k := range parted {
		if len(cfg.atOnce) == 0 {
			return nil
		}
		raw, err := p.Make(ctx, fmt.Sprintf("part%d", k), func(to string) error {
			return testdisk.Part(ctx, p.Base, to, k, parted, most)
		})
		if err != nil {
			return err
		}
		for _, kind := range slices.Compact(slices.Sorted(slices.Values(cfg.atOnce))) {
			f, err := testdisk.Convert(ctx, raw, kind)
			if err != nil {
				return err
			}
			p.parts[kind] = append(p.parts[kind], f)
		}
	}
	return nil
}
