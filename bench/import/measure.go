package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// taken is what something took: seconds and bytes. CPU is of all processes, Peak the largest of any one of them; Written is
// what they made dirty of files, by the kernel's count, whether or not it was deleted before it reached the disk.
type taken struct {
	Wall    float64 `json:"wall_s"`
	CPU     float64 `json:"cpu_s"`
	Peak    int64   `json:"peak_bytes"`
	Written int64   `json:"written_bytes"`
}

// and is one after the other.
func (t taken) and(more ...taken) taken {
	for _, m := range more {
		t.Wall += m.Wall
		t.CPU += m.CPU
		t.Written += m.Written
		t.Peak = max(t.Peak, m.Peak)
	}
	return t
}

// shell runs a script in a folder and measures it with all that it starts.
func shell(ctx context.Context, dir, script string) (taken, error) {
	cmd := exec.CommandContext(ctx, "sh", "-ec", script)
	cmd.Dir = dir
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return taken{}, fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	t := taken{Wall: time.Since(begun).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.Peak, t.Written = usage.Maxrss<<10, usage.Oublock*512 // getrusage(2): KiB, and blocks of 512 bytes
	}
	return t, nil
}

// median returns the run of the middle wall time; of an even number of runs, what lies between the two in the middle.
func median(runs []taken) taken {
	if len(runs) == 0 {
		return taken{}
	}
	s := slices.SortedFunc(slices.Values(runs), func(a, b taken) int { return cmp.Compare(a.Wall, b.Wall) })
	a, b := s[(len(s)-1)/2], s[len(s)/2]
	return taken{Wall: (a.Wall + b.Wall) / 2, CPU: (a.CPU + b.CPU) / 2, Peak: (a.Peak + b.Peak) / 2, Written: (a.Written + b.Written) / 2}
}
