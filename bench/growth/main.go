// Command growth measures what an import costs as the work grows: with the size of the guest's disk, with the number of imports
// that are queued, and with what the store holds already. It writes a table into docs/benchmarks.md, between its two marks, and a plot
// into docs/growth.svg.
//
//	sudo go run ./bench/growth
//
// What the store holds is synthetic: rows of the chunk index, with random digests, and no packs behind them. That is all that an
// import of something else meets of a hundred thousand images.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ingot/bench/service"
	"ingot/bench/testdisk"
)

type config struct {
	work, binary, docs string
	rounds             int
	virtual            []int64 // GB
	queued             []int
	images             []int
	chunksOfImage      int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := config{virtual: []int64{1, 10, 90}, queued: []int{1, 4, 16}, images: []int{0, 1_000, 100_000}}
	flag.StringVar(&c.work, "work", "/var/tmp/ingot-bench", "scratch folder on a real disk; the disks made in it are kept and used again")
	flag.StringVar(&c.binary, "binary", "", "the ingot to measure; empty: that of this source tree")
	flag.StringVar(&c.docs, "docs", "docs", "folder of benchmarks.md and growth.svg; empty: print only")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each is measured, in turn; medians are told")
	flag.IntVar(&c.chunksOfImage, "chunks", 100, "chunks of its own of each image that the store holds; a nightly image of 0.6 GB has about 1,900, of 17,000")
	small := flag.Bool("small", false, "a try: 1,000 images at most, 4 imports, 10 GB")
	flag.Parse()
	if *small {
		c.virtual, c.queued, c.images, c.rounds = []int64{1, 10}, []int{1, 4}, []int{0, 1_000}, 1
	}
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// point is a measurement: seconds and bytes an import.
type point struct {
	wall, cpu float64
	peak      int64
}

// curve is what one quantity does to the cost of an import.
type curve struct {
	name, unit string
	x          []int64
	y          []point
	note       []string // of each x
}

// growth knows what every measurement needs.
type growth struct {
	config
	folder, host string
}

func run(ctx context.Context, c config) error {
	g := growth{config: c, folder: filepath.Join(c.work, "growth")}
	if err := os.MkdirAll(g.folder, 0o755); err != nil {
		return err
	}
	var err error
	if g.binary, err = service.Build(ctx, g.folder, c.binary); err != nil {
		return err
	}
	host, stop, err := service.Web(g.folder)
	if err != nil {
		return err
	}
	defer stop()
	g.host = host
	var curves []curve
	for _, measure := range []func(context.Context) (curve, error){g.bySize, g.byQueue, g.byStore} {
		result, err := measure(ctx)
		if err != nil {
			return err
		}
		curves = append(curves, result)
		fmt.Print(table(result))
	}
	return write(c.docs, curves)
}

// each measures every x so many times, in turn, and returns the medians by wall time.
func (g growth) each(n int, measure func(i int) (point, error)) ([]point, error) {
	all := make([][]point, n)
	for range g.rounds {
		for i := range n {
			p, err := measure(i)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], p)
		}
	}
	medians := make([]point, n)
	for i, points := range all {
		slices.SortFunc(points, func(a, b point) int { return int(1e6 * (a.wall - b.wall)) })
		medians[i] = points[len(points)/2]
	}
	return medians, nil
}

// bySize imports one Debian in ever larger disks.
func (g growth) bySize(ctx context.Context) (curve, error) {
	c := curve{name: "virtual size", unit: "GB", x: g.virtual}
	base, err := testdisk.Debian(ctx, g.work, testdisk.Small)
	if err != nil {
		return c, err
	}
	files := make([]string, len(g.virtual))
	for i, gb := range g.virtual {
		raw := filepath.Join(g.folder, fmt.Sprintf("size-%d.raw", gb))
		files[i] = fmt.Sprintf("size-%d.qcow2", gb)
		if _, err := os.Stat(filepath.Join(g.folder, files[i])); err != nil {
			if err := testdisk.Raw(ctx, base, raw, gb<<30); err != nil {
				return c, err
			}
			if _, err := testdisk.Convert(ctx, raw, "qcow2"); err != nil {
				return c, err
			}
			os.Remove(raw)
		}
		c.note = append(c.note, "0.6 GB of data")
	}
	c.y, err = g.each(len(files), func(i int) (p point, err error) {
		err = g.withService(ctx, nil, func(s *service.Service) error {
			p, err = g.measure(ctx, s, files[i:i+1])
			return err
		})
		return p, err
	})
	return c, err
}

// byQueue imports several different disks that are posted at once; two run at a time, which is the default.
func (g growth) byQueue(ctx context.Context) (curve, error) {
	c := curve{name: "imports queued", unit: ""}
	var files []string
	for i := range slices.Max(g.queued) {
		name := fmt.Sprintf("queue-%d.raw", i)
		if err := random(filepath.Join(g.folder, name), uint64(i), 96<<20); err != nil {
			return c, err
		}
		files = append(files, name)
	}
	for _, n := range g.queued {
		c.x = append(c.x, int64(n))
		c.note = append(c.note, "96 MB each, nothing in common")
	}
	var err error
	c.y, err = g.each(len(g.queued), func(i int) (p point, err error) {
		err = g.withService(ctx, nil, func(s *service.Service) error {
			p, err = g.measure(ctx, s, files[:g.queued[i]])
			return err
		})
		return p, err
	})
	return c, err
}

// byStore imports one disk into a store that holds ever more.
func (g growth) byStore(ctx context.Context) (curve, error) {
	c := curve{name: "images in the store", unit: ""}
	name := "queue-0.raw"
	if err := random(filepath.Join(g.folder, name), 0, 96<<20); err != nil {
		return c, err
	}
	loaded := make([]string, len(g.images))
	for i, n := range g.images {
		c.x = append(c.x, int64(n))
		loaded[i] = filepath.Join(g.folder, fmt.Sprintf("store-%d-%d", n, g.chunksOfImage))
		size, err := g.load(ctx, loaded[i], n)
		if err != nil {
			return c, fmt.Errorf("loading %d images: %w", n, err)
		}
		c.note = append(c.note, fmt.Sprintf("%d rows in the chunk index, a database of %d MB", n*g.chunksOfImage, size>>20))
	}
	var err error
	c.y, err = g.each(len(loaded), func(i int) (p point, err error) {
		err = g.withService(ctx, &loaded[i], func(s *service.Service) error {
			p, err = g.measure(ctx, s, []string{name})
			return err
		})
		if err == nil {
			err = stillThere(ctx, filepath.Join(g.folder, "data"), g.images[i]*g.chunksOfImage)
		}
		return p, err
	})
	return c, err
}

// withService runs a service on a new data directory, or on a copy of one.
func (g growth) withService(ctx context.Context, from *string, use func(*service.Service) error) error {
	data := filepath.Join(g.folder, "data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if from != nil {
		if err := testdisk.Script(ctx, "cp -r $from $to && sync", "from="+*from, "to="+data); err != nil {
			return err
		}
	}
	s, err := service.Start(ctx, g.binary, data, g.host)
	if err != nil {
		return err
	}
	defer s.Kill()
	if err := use(s); err != nil {
		return err
	}
	return s.Stop()
}

// measure posts files at once and waits for all; the point is for each.
func (g growth) measure(ctx context.Context, s *service.Service, files []string) (p point, err error) {
	if err := s.ResetPeak(); err != nil {
		return p, err
	}
	before, err := s.Usage()
	if err != nil {
		return p, err
	}
	begun := time.Now()
	ids := make([]int64, len(files))
	for i, f := range files {
		if ids[i], err = s.Create(ctx, "http://"+g.host+"/"+f); err != nil {
			return p, err
		}
	}
	for _, id := range ids {
		if _, err := s.Wait(ctx, id); err != nil {
			return p, err
		}
	}
	after, err := s.Usage()
	n := float64(len(files))
	return point{time.Since(begun).Seconds() / n, (after.CPU - before.CPU) / n, after.Peak}, err
}
