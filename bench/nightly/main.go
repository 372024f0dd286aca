// Command nightly builds one Debian image for each of twenty nights, each with some packages changed, imports them one after
// the other, and reports what the store holds: against the first image alone, and against the sum of the images as
// zstd-compressed qcow2 files. At the end the first and the last image are read back and compared with their raw disks.
//
//	sudo go run ./bench/nightly
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ingot/bench/service"
	"ingot/bench/testdisk"
)

type config struct {
	work    string
	nights  int
	virtual int64
	initrd  bool
	size    string
	keep    string
	binary  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c config
	flag.StringVar(&c.work, "work", "/var/tmp/ingot-bench", "scratch folder; the installed Debian in it is kept and used again")
	flag.IntVar(&c.nights, "nights", 20, "how many images")
	flag.Int64Var(&c.virtual, "virtual", 4<<30, "the guest disk's size in bytes")
	flag.BoolVar(&c.initrd, "initrd-every-night", false, "the initial RAM disk is another one every night, whether or not a package in it changed")
	flag.StringVar(&c.size, "debian", string(testdisk.Small), "what is installed: small (0.6 GB) or large (2.6 GB)")
	flag.StringVar(&c.keep, "keep", "", "keep the raw disks in this folder")
	flag.StringVar(&c.binary, "binary", "", "the ingot to measure; empty: that of this source tree")
	flag.Parse()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	base, err := testdisk.Debian(ctx, c.work, testdisk.Size(c.size))
	if err != nil {
		return err
	}
	nights, err := testdisk.NewNights(base, c.work, c.initrd)
	if err != nil {
		return err
	}
	files, err := os.MkdirTemp(c.work, "nightly-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	host, stop, err := service.Web(files)
	if err != nil {
		return err
	}
	defer stop()
	binary, err := service.Build(ctx, files, c.binary)
	if err != nil {
		return err
	}
	s, err := service.Start(ctx, binary, filepath.Join(files, "data"), host)
	if err != nil {
		return err
	}
	defer s.Kill()
	r := report{service: s, url: "http://" + host + "/", files: files, started: time.Now()}
	for night := range c.nights {
		if err := r.night(ctx, c, nights, night); err != nil {
			return fmt.Errorf("night %d: %w", night, err)
		}
	}
	r.sum()
	if err := r.readBack(ctx); err != nil {
		return err
	}
	if err := s.Stop(); err != nil {
		return err
	}
	if ratio := float64(r.store) / float64(r.first); ratio > mostRatio {
		return fmt.Errorf("the store has %.2f times the first image, and may have %.1f", ratio, mostRatio)
	}
	return nil
}

// mostRatio is what twenty nights may take, in sizes of the first image's store.
const mostRatio = 3.5

// report is what the nights so far came to; sizes in bytes.
type report struct {
	service *service.Service
	url     string
	files   string
	started time.Time

	first, store, qcow2 int64
	nights              int

	disks []disk // of the first night and of the last
}

// night builds, converts and imports one image.
func (r *report) night(ctx context.Context, c config, nights *testdisk.Nights, night int) error {
	tree, changed, err := nights.Tree(ctx, night)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	raw, packed := filepath.Join(r.files, "disk.raw"), filepath.Join(r.files, "disk.qcow2")
	if err := testdisk.Raw(ctx, tree, raw, c.virtual); err != nil {
		return err
	}
	if err := testdisk.Script(ctx, "qemu-img convert -W -m 8 -c -f raw -O qcow2 -o compression_type=zstd $raw $packed", "raw="+raw, "packed="+packed); err != nil {
		return err
	}
	if c.keep != "" {
		if err := testdisk.Script(ctx, "mkdir -p $keep && cp --sparse=always $raw $keep/night-$n.raw", "raw="+raw, "keep="+c.keep, fmt.Sprintf("n=%02d", night)); err != nil {
			return err
		}
	}
	before := r.service.SettledBefore()
	id, done, err := r.service.Import(ctx, r.url+filepath.Base(packed))
	if err != nil {
		return err
	}
	if r.store, err = r.service.Settled(ctx, before, 10*time.Minute); err != nil {
		return err
	}
	if night == 0 || night == c.nights-1 {
		if err := r.note(id, raw); err != nil {
			return err
		}
	}
	info, err := os.Stat(packed)
	if err != nil {
		return err
	}
	if night == 0 {
		r.first = r.store
		fmt.Println("| night | qcow2 MB | data MB | of it known MB | store MB | store : first | changed |\n|---|---|---|---|---|---|---|")
	}
	r.qcow2 += info.Size()
	r.nights++
	fmt.Printf("| %d | %d | %d | %d | %.1f | %.2f | %s |\n", night, info.Size()>>20, done.DataBytes>>20, done.SharedBytes>>20,
		float64(r.store)/(1<<20), float64(r.store)/float64(r.first), strings.Join(changed, " "))
	return nil
}

func (r *report) sum() {
	fmt.Printf("\nThe store of %d images: %d MB, %.2f times the first image alone (%d MB). As zstd qcow2 files: %d MB, %.2f times the store. %.0f s.\n",
		r.nights, r.store>>20, float64(r.store)/float64(r.first), r.first>>20, r.qcow2>>20, float64(r.qcow2)/float64(r.store), time.Since(r.started).Seconds())
}
