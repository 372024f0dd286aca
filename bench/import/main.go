// Command import measures an import by Ingot, from POST to available, against what people do today - curl, gunzip or
// bunzip2, qemu-img convert - on the same file, alternating in one run, and prints the ratios. The machine's noise hits both alike;
// only the ratios mean anything.
//
//	go run ./bench/import -data /usr -size 2G
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var cfg config
	flag.StringVar(&cfg.tree, "data", "/usr", "the folder whose files fill the test disk")
	flag.Int64Var(&cfg.bytes, "bytes", 2<<30, "how many bytes of them")
	flag.Int64Var(&cfg.virtual, "virtual", 8<<30, "the guest disk's size")
	flag.IntVar(&cfg.rounds, "rounds", 3, "how often each case is run; medians are printed; 0 only makes the files")
	flag.StringVar(&cfg.work, "work", filepath.Join(os.TempDir(), "ingot-bench"), "scratch folder; the test files in it are kept and used again")
	only := flag.String("cases", "", "a comma-separated list of cases; empty: all")
	flag.Parse()
	if *only != "" {
		cfg.only = strings.Split(*only, ",")
	}
	if err := run(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type config struct {
	tree           string
	bytes, virtual int64
	rounds         int
	work           string
	only           []string
}

func (c config) wants(name string) bool { return len(c.only) == 0 || slices.Contains(c.only, name) }

func run(ctx context.Context, cfg config) error {
	files, err := prepare(ctx, cfg)
	if err != nil {
		return err
	}
	if cfg.rounds == 0 {
		return nil
	}
	bench, err := newBench(ctx, cfg)
	if err != nil {
		return err
	}
	defer bench.close()
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tfile MB\tIngot s\tcpu s\tpeak MB\tstored MB\tpeer s\tcpu s\tIngot : peer\t")
	for _, f := range files {
		ours, theirs, err := bench.compare(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Fprintf(table, "%s\t%d\t%.1f\t%.1f\t%d\t%d\t%.1f\t%.1f\t%.2f\t\n", f.name, f.size>>20,
			ours.wall, ours.cpu, ours.peak>>20, ours.stored>>20, theirs.wall, theirs.cpu, ours.wall/theirs.wall)
		table.Flush()
	}
	return nil
}
