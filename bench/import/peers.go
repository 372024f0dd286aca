package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"ingot/bench/testdisk"
)

// peers are what people do today, once. What (b) and (c) have in common - the download, its sum, the wrapper - is done once
// and counted for both. Sync is how long each took to make its result durable, as Ingot's is when it is available; it
// is contained in the sums.
type peers struct {
	Steps        map[string]taken `json:"steps"`
	QCOW2        taken            `json:"b_qcow2_zstd"`
	Raw          taken            `json:"c_raw"`
	QCOW2NoSync  taken            `json:"b_without_sync"`
	RawNoSync    taken            `json:"c_without_sync"`
	StoredQCOW2  int64            `json:"b_file_bytes"`
	StoredRaw    int64            `json:"c_file_allocated_bytes"`
	overallWalls float64
}

// peers runs (b) and (c).
func (b *bench) peers(ctx context.Context, f testdisk.File) (p peers, err error) {
	dir := filepath.Join(b.cfg.work, "peer")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	syscall.Sync() // what others wrote before is not ours to wait for
	p.Steps = map[string]taken{}
	var common taken
	step := func(name, script string) (t taken) {
		if err == nil {
			t, err = shell(ctx, dir, script)
			p.Steps[name] = t
			p.overallWalls += t.Wall
		}
		return t
	}
	common = common.and(step("curl", "curl -sSf -o f "+b.url(f)), step("sha256sum", "sha256sum f"))
	if f.Unwrap != "" {
		common = common.and(step(f.Unwrap, f.Unwrap+" -c f > plain; rm f; mv plain f"))
	}
	convert := "qemu-img convert -W -m 8 -f " + f.Format
	p.QCOW2 = common.and(step("convert to qcow2", convert+" -O qcow2 -c -o compression_type=zstd f out"))
	p.QCOW2NoSync = p.QCOW2
	p.QCOW2 = p.QCOW2.and(step("sync qcow2", "sync out"))
	p.StoredQCOW2 = allocated(filepath.Join(dir, "out"))
	if err == nil {
		err = os.Remove(filepath.Join(dir, "out"))
		syscall.Sync()
	}
	p.Raw = common.and(step("convert to raw", convert+" -O raw f out"))
	p.RawNoSync = p.Raw
	p.Raw = p.Raw.and(step("sync raw", "sync out"))
	p.StoredRaw = allocated(filepath.Join(dir, "out"))
	return p, err
}

// allocated is how much of the disk a file takes, its holes left out.
func allocated(path string) int64 {
	var s syscall.Stat_t
	if syscall.Stat(path, &s) != nil {
		return 0
	}
	return s.Blocks * 512
}
