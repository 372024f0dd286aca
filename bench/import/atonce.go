package main

import (
	"context"
	"strconv"

	"ingot/bench/service"
	"ingot/bench/testdisk"
)

// together is what several imports at once took, of disks that share nothing, beside the same ones after one another.
type together struct {
	Kind   string        `json:"kind"`
	Each   []ours        `json:"one_after_the_other"` // of a service of its own each
	AtOnce map[int]taken `json:"at_once"`             // by how many
}

// atOnce imports the first 1, 2 and 4 parts at once, each time into a new service.
func (b *bench) atOnce(ctx context.Context, kind string) (t together, err error) {
	t = together{Kind: kind, AtOnce: map[int]taken{}}
	parts := b.parts[kind]
	err = b.withService(ctx, func(s *service.Service) error {
		for _, f := range parts[:2] {
			b.digest = ""
			o, err := b.measure(ctx, s, f, false)
			if err != nil {
				return err
			}
			t.Each = append(t.Each, o)
		}
		return nil
	})
	for _, n := range []int{1, 2, parted} {
		if err == nil {
			t.AtOnce[n], err = b.together(ctx, parts[:n])
		}
	}
	return t, err
}

func (b *bench) together(ctx context.Context, parts []testdisk.File) (t taken, err error) {
	err = b.withService(ctx, func(s *service.Service) error {
		t, err = during(s, func() error {
			ids := make([]int64, len(parts))
			for i, f := range parts {
				if ids[i], err = s.Create(ctx, b.url(f)); err != nil {
					return err
				}
			}
			for _, id := range ids {
				if _, err := s.Wait(ctx, id); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	}, "--workers", strconv.Itoa(parted))
	return t, err
}
