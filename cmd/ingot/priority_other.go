//go:build !linux

package main

// lowerPriority does nothing here: a priority is a process's.
func lowerPriority() {}
