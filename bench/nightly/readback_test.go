package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/bench/service"
)

// An image that reads back as its raw disk is found good, and one that does not is found.
func TestReadBack(t *testing.T) {
	t.Chdir("../..") // Build builds the source tree that it stands in
	files := t.TempDir()
	binary, err := service.Build(t.Context(), files, "")
	if err != nil {
		t.Fatal(err)
	}
	host, stop, err := service.Web(files)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s, err := service.Start(t.Context(), binary, filepath.Join(files, "data"), host)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	raw := filepath.Join(files, "disk.raw")
	data := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{1}).Read(data[:1<<20])
	copy(data[510:], []byte{0x55, 0xaa})
	if err := os.WriteFile(raw, data, 0o600); err != nil {
		t.Fatal(err)
	}
	id, _, err := s.Import(t.Context(), "http://"+host+"/disk.raw")
	if err != nil {
		t.Fatal(err)
	}
	r := report{service: s}
	if err := r.note(id, raw); err != nil {
		t.Fatal(err)
	}
	if err := r.readBack(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(raw, bytes.Replace(data, data[100:101], []byte{data[100] + 1}, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.note(id, raw); err != nil {
		t.Fatal(err)
	}
	if err := r.readBack(t.Context()); err == nil || !strings.Contains(err.Error(), "its raw disk was") {
		t.Errorf("another disk: %v", err)
	}
}
