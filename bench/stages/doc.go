// Package stages measures each stage of an import alone, and the whole in one process, for profiles:
//
//	sudo make bench-import BENCH='-rounds 0'   # makes the test files, once
//	go test ./bench/stages -bench . -benchtime 1x -count 6 > before.txt
//	go run golang.org/x/perf/cmd/benchstat@latest before.txt after.txt
//	go test ./bench/stages -bench 'Import/qcow2-zstd' -benchtime 3x -cpuprofile cpu.pprof
//
// MB/s depend on what else the machine does; user-ns/B and sys-ns/B, the CPU time for each byte, much less so.
// INGOT_BENCH_FILES is where the files are, if it is not bench/import's usual folder. What serves them is another
// process, so that its time is not counted.
package stages
