package service

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Usage is what a process has taken of the machine.
type Usage struct {
	CPU     float64 // seconds, user and system
	Peak    int64   // bytes resident at most, since ResetPeak
	Written int64   // bytes of files made dirty (write_bytes of /proc/PID/io), whether or not they were deleted before they were written
}

// clockTick is USER_HZ, by which /proc/PID/stat counts; 100 on every Linux that Go runs on.
const clockTick = 100

// Usage reads what the service has taken so far.
func (s *Service) Usage() (u Usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid()))
	if err != nil {
		return u, err
	}
	// After the name in brackets, which may contain anything: state is field 3, utime 14, stime 15 (proc(5)).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return u, fmt.Errorf("/proc/%d/stat: %q", s.Pid(), stat)
	}
	u.CPU = (user + system) / clockTick
	if u.Peak, err = s.proc("status", "VmHWM:"); err != nil {
		return u, err
	}
	u.Peak <<= 10
	u.Written, err = s.proc("io", "write_bytes:")
	return u, err
}

// ResetPeak begins to watch the resident memory anew.
func (s *Service) ResetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.Pid()), []byte("5"), 0)
}

func (s *Service) proc(file, key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.Pid(), file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == key {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s: no %s", s.Pid(), file, key)
}
