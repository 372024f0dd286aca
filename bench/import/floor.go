package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"ingot/bench/testdisk"
)

// stage is what an import can not do without, alone, by the fastest tool that is known.
type stage struct{ name, script string }

// stages of a file. What runs on all cores for Ingot does so here: the two halves of the data at once. The clusters, grains and
// blocks of a compressed format are as many small streams as one likes; two long ones, decoded at once, cost no more.
func (b *bench) stages(f testdisk.File) []stage {
	d0, d1 := b.data[0], b.data[1]
	both := func(cmd, suffix string) string {
		return fmt.Sprintf("%s %s%s >/dev/null & a=$!; %s %s%s >/dev/null; wait $a", cmd, d0, suffix, cmd, d1, suffix)
	}
	s := []stage{
		{"download", "curl -sSf -o /dev/null " + b.url(f)},
		{"SHA-256 of the file", b.sha256 + " " + f.Path},
		{"SHA-256 of the data", both(b.sha256, "")},
		{"zstd -3 of the data", fmt.Sprintf("zstd -3 -T%d -q -c %s %s > /dev/null", runtime.NumCPU(), d0, d1)},
	}
	if f.Faster != "" {
		s = append(s, stage{f.Faster + " -dc", f.Faster + " -dc " + f.Path + " > /dev/null"})
	}
	switch f.Name {
	case "qcow2-zlib", "vmdk-stream":
		s = append(s, stage{"inflate, all cores", both("igzip -dc", ".gz")})
	case "qcow2-zstd":
		s = append(s, stage{"unzstd, all cores", both("zstd -dqc", ".zst")})
	}
	return s
}

// floor runs every stage alone.
func (b *bench) floor(ctx context.Context, f testdisk.File) (map[string]taken, error) {
	all := map[string]taken{}
	for _, s := range b.stages(f) {
		t, err := shell(ctx, b.Folder, s.script)
		if err != nil {
			return nil, err
		}
		all[s.name] = t
	}
	return all, nil
}

// slowest is the floor.
func slowest(stages map[string]taken) (name string, t taken) {
	for n, s := range stages {
		if s.Wall > t.Wall {
			name, t = n, s
		}
	}
	return name, t
}

// fastestSHA256 tries which of the tools is faster here.
func fastestSHA256(ctx context.Context, on string) (string, error) {
	best, wall := "", 0.0
	for _, tool := range []string{"sha256sum", "openssl dgst -sha256"} {
		t, err := shell(ctx, filepath.Dir(on), tool+" "+on)
		if err != nil {
			return "", err
		}
		if best == "" || t.Wall < wall {
			best, wall = tool, t.Wall
		}
	}
	return best, nil
}
