// Command million measures what requests cost as an account grows: a thousand, a hundred thousand and a million images,
// asked in turn in one run over HTTP, so that the machine's noise hits all alike. Nothing is kept in memory between
// requests: each is answered by the database. Totals are compared with what was loaded.
//
//	go run ./bench/million
//	go run ./bench/million -database postgres://ingot@localhost/bench
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	database := flag.String("database", "", "a PostgreSQL database, whose schemas million_… are dropped and made anew; empty: SQLite in a temporary folder")
	sizes := flag.String("sizes", "1000,100000,1000000", "how many images, separated by commas; the first is what the others are compared with")
	rounds := flag.Int("rounds", 100, "how often each request is made; medians are printed")
	flag.Parse()
	if err := run(ctx, *database, *sizes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "million:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, database, sizes string, rounds int) error {
	var all []*account
	defer func() {
		for _, a := range all {
			a.close()
		}
	}()
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1000 {
			return fmt.Errorf("%q is no number of images from 1000 on", size)
		}
		a, err := load(ctx, database, n)
		if err != nil {
			return err
		}
		all = append(all, a)
	}
	medians, err := measure(ctx, all, rounds)
	if err != nil {
		return err
	}
	return printTable(all, medians)
}

// measure makes every request of every account in turn, and returns the median time of each by request and account.
func measure(ctx context.Context, all []*account, rounds int) ([][]time.Duration, error) {
	medians := make([][]time.Duration, len(requests))
	for i, r := range requests {
		times := make([][]time.Duration, len(all))
		for range rounds {
			for j, a := range all {
				took, err := a.make(ctx, r)
				if err != nil {
					return nil, fmt.Errorf("%s with %d images: %w", r.name, a.n, err)
				}
				times[j] = append(times[j], took)
			}
		}
		for _, t := range times {
			slices.Sort(t)
			medians[i] = append(medians[i], t[len(t)/2])
		}
	}
	return medians, nil
}

func printTable(all []*account, medians [][]time.Duration) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "request\t")
	for _, a := range all {
		fmt.Fprintf(table, "%d: µs\t", a.n)
	}
	for _, a := range all[1:] {
		fmt.Fprintf(table, "%d : %d\t", a.n, all[0].n)
	}
	fmt.Fprintln(table)
	for i, r := range requests {
		fmt.Fprintf(table, "%s\t", r.name)
		for _, m := range medians[i] {
			fmt.Fprintf(table, "%d\t", m.Microseconds())
		}
		for _, m := range medians[i][1:] {
			fmt.Fprintf(table, "%.2f\t", float64(m)/float64(medians[i][0]))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
