package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ingot/bench/service"
	"ingot/bench/testdisk"
)

// bench serves the test files and knows the binary under test.
type bench struct {
	*prepared
	cfg    config
	binary string
	host   string
	stop   func() error
	sha256 string
	digest string // of the disk's content, which is one whatever the format
}

func newBench(ctx context.Context, cfg config, p *prepared) (*bench, error) {
	b := &bench{prepared: p, cfg: cfg}
	var err error
	if b.binary, err = service.Build(ctx, p.Folder, cfg.binary); err != nil {
		return nil, err
	}
	if b.sha256, err = fastestSHA256(ctx, p.data[0]); err != nil {
		return nil, err
	}
	b.host, b.stop, err = service.Web(p.Folder)
	return b, err
}

func (b *bench) close() { b.stop() }

func (b *bench) url(f testdisk.File) string { return "http://" + b.host + "/" + filepath.Base(f.Path) }

// ours is an import by Ingot. Settling is what it does after that, unasked: what it took until the store came to rest.
type ours struct {
	taken
	Settling taken `json:"settling"`
	Stored   int64 `json:"stored_bytes"`         // when available
	Settled  int64 `json:"settled_stored_bytes"` // of the store when it came to rest; 0: not waited for, or nothing was stored
}

// compared is all that was measured of a case.
type compared struct {
	File  testdisk.File      `json:"file"`
	Ingot []ours             `json:"ingot_runs"`
	Peers []peers            `json:"peer_runs"`
	Floor []map[string]taken `json:"floor_runs"`
}

// compare runs all sides in turn.
func (b *bench) compare(ctx context.Context, f testdisk.File) (compared, error) {
	c := compared{File: f}
	if err := b.warm(ctx, f); err != nil {
		return c, err
	}
	for round := range b.cfg.rounds {
		o, err := b.importOnce(ctx, f, round == b.cfg.rounds-1)
		if err != nil {
			return c, err
		}
		c.Ingot = append(c.Ingot, o)
		if !b.peersRun(c, round) {
			continue
		}
		if err := b.others(ctx, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// warm has the system keep a file in memory, where everybody finds it.
func (b *bench) warm(ctx context.Context, f testdisk.File) error {
	_, err := shell(ctx, b.Folder, "cat "+f.Path+" > /dev/null")
	return err
}

// peersRun says whether the others run this round too.
func (b *bench) peersRun(c compared, round int) bool {
	return round == 0 || round < b.cfg.peerRounds && c.Peers[0].overallWalls < b.cfg.slow.Seconds()
}

func (b *bench) others(ctx context.Context, c *compared) error {
	p, err := b.peers(ctx, c.File)
	if err != nil {
		return err
	}
	stages, err := b.floor(ctx, c.File)
	c.Peers, c.Floor = append(c.Peers, p), append(c.Floor, stages)
	return err
}

// importOnce imports the file into a new service.
func (b *bench) importOnce(ctx context.Context, f testdisk.File, settle bool) (o ours, err error) {
	err = b.withService(ctx, func(s *service.Service) error {
		o, err = b.measure(ctx, s, f, settle)
		return err
	})
	return o, err
}

func (b *bench) withService(ctx context.Context, use func(*service.Service) error, flags ...string) error {
	data := filepath.Join(b.cfg.work, "service")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	defer os.RemoveAll(data)
	s, err := service.Start(ctx, b.binary, data, b.host, flags...)
	if err != nil {
		return err
	}
	defer s.Kill()
	return errors.Join(use(s), s.Stop())
}

// measure imports a file, from POST to available.
func (b *bench) measure(ctx context.Context, s *service.Service, f testdisk.File, settle bool) (o ours, err error) {
	var done service.Import
	before := s.SettledBefore()
	o.taken, err = during(s, func() error {
		_, done, err = s.Import(ctx, b.url(f))
		return err
	})
	if err != nil {
		return o, err
	}
	o.Stored = done.StoredBytes
	if f.Name != b.near.Name && b.digest != "" && done.Digest != b.digest {
		return o, fmt.Errorf("the content is %s, of another format %s", done.Digest, b.digest)
	}
	if f.Name != b.near.Name {
		b.digest = done.Digest
	}
	if settle && done.StoredBytes > 0 {
		o.Settling, err = during(s, func() error {
			o.Settled, err = s.Settled(ctx, before, 10*time.Minute)
			return err
		})
	}
	return o, err
}

// during measures a service while something runs.
func during(s *service.Service, do func() error) (t taken, err error) {
	if err := s.ResetPeak(); err != nil {
		return t, err
	}
	before, err := s.Usage()
	if err != nil {
		return t, err
	}
	begun := time.Now()
	if err := do(); err != nil {
		return t, err
	}
	t.Wall = time.Since(begun).Seconds()
	after, err := s.Usage()
	t.CPU, t.Written, t.Peak = after.CPU-before.CPU, after.Written-before.Written, after.Peak
	return t, err
}

// compareKnown imports into a store that has the image already, settled: the same once more, and the next night's.
func (b *bench) compareKnown(ctx context.Context) (again, near compared, err error) {
	again.File, near.File = b.files[0], b.near
	for _, f := range b.files {
		if f.Name == "qcow2" {
			again.File = f
		}
	}
	again.File.Name = "again"
	if err := errors.Join(b.warm(ctx, again.File), b.warm(ctx, near.File)); err != nil {
		return again, near, err
	}
	for round := range b.cfg.rounds {
		err := b.withService(ctx, func(s *service.Service) error {
			if _, err := b.measure(ctx, s, again.File, true); err != nil {
				return err
			}
			for _, c := range []*compared{&again, &near} {
				o, err := b.measure(ctx, s, c.File, round == b.cfg.rounds-1)
				if err != nil {
					return err
				}
				c.Ingot = append(c.Ingot, o)
			}
			return nil
		})
		if err != nil {
			return again, near, err
		}
		for _, c := range []*compared{&again, &near} {
			if b.peersRun(*c, round) {
				if err := b.others(ctx, c); err != nil {
					return again, near, err
				}
			}
		}
	}
	return again, near, nil
}
