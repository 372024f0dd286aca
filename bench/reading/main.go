// Command reading measures how fast an image is read back over HTTP, beside nginx (Debian's nginx-light) serving the same files
// from disk: the file as a stream, in MB of guest data a second, and how long qemu-img takes to have the whole disk from each URL.
// All of it in turn, in one run; only the ratios mean anything.
//
//	sudo go run ./bench/reading                 # after, or instead of, go run ./bench/import -rounds 0: the disk is the same
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ingot/bench/service"
	"ingot/bench/testdisk"
)

type config struct {
	bytes, virtual int64
	rounds         int
	work, binary   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c config
	var size float64
	flag.Float64Var(&size, "bytes", 0, "take only so many bytes of the installed Debian's files; 0: all, 2.6 GB")
	flag.Int64Var(&c.virtual, "virtual", 8<<30, "the guest disk's size in bytes")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each is read")
	flag.StringVar(&c.work, "work", "/var/tmp/ingot-bench", "scratch folder on a real disk; what is made in it is kept and used again")
	flag.StringVar(&c.binary, "binary", "", "the ingot to measure; empty: that of this source tree")
	flag.Parse()
	c.bytes = int64(size)
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) error {
	disk, err := testdisk.Installed(ctx, c.work, c.bytes, c.virtual)
	if err != nil {
		return err
	}
	plain, err := testdisk.Convert(ctx, disk.Raw, "qcow2")
	if err != nil {
		return err
	}
	data, err := testdisk.DataBytes(disk.Raw)
	if err != nil {
		return err
	}
	nginx, err := startNginx(ctx, disk.Folder)
	if err != nil {
		return err
	}
	defer nginx.stop()
	binary, err := service.Build(ctx, disk.Folder, c.binary)
	if err != nil {
		return err
	}
	store := filepath.Join(disk.Folder, "reading")
	defer os.RemoveAll(store)
	s, err := service.Start(ctx, binary, store, nginx.address)
	if err != nil {
		return err
	}
	defer s.Kill()
	urls, err := publish(ctx, s, nginx, disk.Raw, plain)
	if err != nil {
		return err
	}
	if err := measure(ctx, c, urls, disk, data); err != nil {
		return err
	}
	return s.Stop()
}

// source is a URL that is read, and the tool's name for what it gives.
type source struct{ server, format, url string }

// publish imports the disk and lets it settle, so that what is read is what lies there for years.
func publish(ctx context.Context, s *service.Service, nginx *nginx, raw string, plain testdisk.File) ([]source, error) {
	before := s.SettledBefore()
	id, _, err := s.Import(ctx, nginx.url(plain.Path))
	if err != nil {
		return nil, err
	}
	if _, err := s.Settled(ctx, before, 10*time.Minute); err != nil {
		return nil, err
	}
	sources := []source{{"nginx", "raw", nginx.url(raw)}, {"nginx", "qcow2", nginx.url(plain.Path)}}
	for _, format := range []string{"raw", "qcow2"} {
		url, err := s.Link(ctx, id, format)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source{"ingot", format, url})
	}
	return sources, nil
}

// measure reads every source as a stream and by qemu-img, in turn.
func measure(ctx context.Context, c config, sources []source, disk testdisk.Disk, data int64) error {
	stream, whole := map[source][]float64{}, map[source][]float64{}
	out := filepath.Join(disk.Folder, "read.raw")
	defer os.Remove(out)
	for range c.rounds {
		for _, src := range sources {
			took, err := timed(ctx, "curl", "-sSf", "-o", "/dev/null", src.url)
			if err != nil {
				return err
			}
			stream[src] = append(stream[src], took)
		}
		for _, src := range sources {
			os.Remove(out)
			took, err := timed(ctx, "qemu-img", "convert", "-m", "1", "-O", "raw", imageSpec(src), out)
			if err != nil {
				return err
			}
			whole[src] = append(whole[src], took)
			if err := same(ctx, disk.Raw, out); err != nil {
				return fmt.Errorf("%s %s: %w", src.server, src.format, err)
			}
		}
	}
	print(c, sources, data, stream, whole)
	return nil
}

// imageSpec lets QEMU read ahead as far over every URL, and wait longer than five seconds for a slow answer. It has one request
// under way (-m 1): with more, the HTTP driver of Debian's QEMU 7.2 hung on a raw file from nginx.
func imageSpec(s source) string {
	return fmt.Sprintf(`json:{"driver":%q,"file":{"driver":"http","url":%q,"readahead":1048576,"timeout":60}}`, s.format, s.url)
}

func timed(ctx context.Context, name string, args ...string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	begun := time.Now()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return time.Since(begun).Seconds(), nil
}

func same(ctx context.Context, want, got string) error {
	_, err := timed(ctx, "qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", want, got)
	return err
}

func median(s []float64) float64 {
	slices.Sort(s)
	return s[len(s)/2]
}

func print(c config, sources []source, data int64, stream, whole map[source][]float64) {
	fmt.Printf("%d MB of data in a disk of %d MB, medians of %d\n\n", data>>20, c.virtual>>20, c.rounds)
	fmt.Println("| from | curl s | MB of data/s | : nginx, same format | qemu-img convert s | : nginx, raw |\n|---|---|---|---|---|---|")
	rawOverNginx := median(whole[sources[0]])
	for i, s := range sources {
		t, w := median(stream[s]), median(whole[s])
		peer := median(stream[sources[i%2]])
		fmt.Printf("| %s, %s | %.2f | %.0f | %.2f | %.2f | %.2f |\n", s.server, s.format, t, float64(data)/(1<<20)/t, peer/t, w, w/rawOverNginx)
	}
	fmt.Println("\nGoals: qcow2 at least 0.50 of nginx; Ingot's whole disk ahead of raw over nginx (below 1.00).")
}
