package stages

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/bench/testdisk"
)

// nameOf is the name of the file that bench/import makes of its disk in a kind of testdisk.Kinds.
func nameOf(suffix string) string { return "disk." + suffix }

// serving makes a process of this test binary a file server: it prints its address and serves the folder until its
// standard input ends.
const serving = "INGOT_STAGES_SERVES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serving); dir != "" {
		serve(dir)
		return
	}
	os.Exit(m.Run())
}

func serve(dir string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go http.Serve(l, http.FileServer(http.Dir(dir)))
	bufio.NewReader(os.Stdin).ReadByte() // the parent's end, however it ends
}

// fileServer starts a process that serves the test files and returns its host and port.
func fileServer(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serving+"="+folder())
	cmd.Stderr = os.Stderr
	stdin := must(cmd.StdinPipe())(b)
	stdout := must(cmd.StdoutPipe())(b)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	return strings.TrimSpace(must(bufio.NewReader(stdout).ReadString('\n'))(b))
}

func folder() string {
	if dir := os.Getenv("INGOT_BENCH_FILES"); dir != "" {
		return dir
	}
	return testdisk.Folder("/var/tmp/ingot-bench", testdisk.Large, 0, 8<<30)
}

// testFile opens one of bench/import's files.
func testFile(b *testing.B, name string) (f *os.File, size int64) {
	b.Helper()
	f, err := os.Open(filepath.Join(folder(), name))
	if err != nil {
		b.Fatalf("%v; make it: sudo make bench-import BENCH='-rounds 0'", err)
	}
	b.Cleanup(func() { f.Close() })
	return f, must(f.Stat())(b).Size()
}

// measure runs fn, which says how many bytes it handled, as the benchmark's body.
func measure(b *testing.B, fn func() int64) {
	b.Helper()
	b.ReportAllocs()
	user, system := cpu(b)
	var bytes int64
	for b.Loop() {
		bytes += fn()
	}
	b.SetBytes(bytes / int64(b.N))
	u, s := cpu(b)
	b.ReportMetric(float64(u-user)/float64(bytes), "user-ns/B")
	b.ReportMetric(float64(s-system)/float64(bytes), "sys-ns/B")
}

// cpu is the time that the processors have spent for this process.
func cpu(b *testing.B) (user, system time.Duration) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
