// Command import measures an import by Ingot, from POST to `available`, beside what people do today - curl, sha256sum, gunzip or
// bunzip2, and qemu-img convert, to a compressed qcow2 file (b) and to a raw one (c) - and beside the floor (d): the slowest single
// stage of an import, alone, by the fastest known tool. All of it in turn, in one run, on one machine; only the ratios mean anything.
//
//	sudo go run ./bench/import                      # 8 GiB with 2.6 GB of data: about half an hour, and as long to prepare the first time
//	sudo go run ./bench/import -bytes 100e6 -rounds 1 -at-once ''   # a try
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var cfg config
	var size float64
	var only, atOnce string
	flag.Float64Var(&size, "bytes", 0, "take only so many bytes of the installed Debian's files; 0: all, 2.6 GB")
	flag.Int64Var(&cfg.virtual, "virtual", 8<<30, "the guest disk's size in bytes")
	flag.IntVar(&cfg.rounds, "rounds", 3, "how often Ingot runs each case; 0 only makes the files")
	flag.IntVar(&cfg.peerRounds, "peer-rounds", 2, "how often the others run it")
	flag.DurationVar(&cfg.slow, "slow", time.Minute, "a case that takes the others longer than this, they run once")
	flag.StringVar(&cfg.work, "work", "/var/tmp/ingot-bench", "scratch folder on a real disk; what is made in it is kept and used again")
	flag.StringVar(&cfg.json, "json", "", "write all that was measured to this file")
	flag.StringVar(&only, "cases", "", "a comma-separated list of cases; empty: all")
	flag.StringVar(&atOnce, "at-once", "qcow2,qcow2-zlib,raw.gz,raw.bz2", "the kinds of which 1, 2 and 4 are imported at once; empty: none")
	flag.StringVar(&cfg.binary, "binary", "", "the ingot to measure; empty: that of this source tree")
	flag.Parse()
	cfg.bytes = int64(size)
	cfg.only, cfg.atOnce = list(only), list(atOnce)
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

type config struct {
	bytes, virtual     int64
	rounds, peerRounds int
	slow               time.Duration
	work, json, binary string
	only, atOnce       []string
}

func (c config) wants(name string) bool { return len(c.only) == 0 || slices.Contains(c.only, name) }

func run(ctx context.Context, cfg config) error {
	p, err := prepare(ctx, cfg)
	if err != nil || cfg.rounds == 0 {
		return err
	}
	b, err := newBench(ctx, cfg, p)
	if err != nil {
		return err
	}
	defer b.close()
	r := newReport(p)
	for _, f := range p.files {
		if cfg.wants(f.Name) {
			c, err := b.compare(ctx, f)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			r.add(c)
		}
	}
	if cfg.wants("again") || cfg.wants("near") {
		again, near, err := b.compareKnown(ctx)
		if err != nil {
			return fmt.Errorf("again, near: %w", err)
		}
		r.add(again)
		r.add(near)
	}
	r.print(os.Stdout)
	for _, kind := range cfg.atOnce {
		a, err := b.atOnce(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s at once: %w", kind, err)
		}
		r.addAtOnce(a)
	}
	r.printAtOnce(os.Stdout)
	return r.save(cfg.json)
}
