package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// lowerPriority makes what the calling goroutine does wait for everything else that the machine has to do. On Linux
// priorities are a thread's own; the thread is the goroutine's from now on and ends with it. Where it is not allowed
// things are as they were.
func lowerPriority() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
}
