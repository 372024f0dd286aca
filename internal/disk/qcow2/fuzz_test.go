package qcow2

import (
	"bytes"
	"testing"

	"ingot/internal/disk/disktest"
)

func FuzzOpen(f *testing.F) {
	for _, s := range settings {
		b := sample(s)
		f.Add(b.file, true)
		f.Add(b.file[:len(b.file)/2], false)
	}
	for _, group := range [][]refused{headerRefusals(), mapRefusals(), streamRefusals()} {
		for _, c := range group {
			b := sample(c.on)
			c.change(b)
			f.Add(b.file, false)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, known bool) {
		size := int64(-1)
		if known {
			size = int64(len(file))
		}
		d, err := Open(bytes.NewReader(file), size)
		if err != nil {
			return
		}
		disktest.Drain(t, d, 4<<20)
		var p [3000]byte
		for _, off := range []int64{0, d.Size() / 3, d.Size() - 1} {
			if n, err := d.ReadAt(p[:], off); n < len(p) && err == nil {
				t.Errorf("ReadAt(%d bytes at %d) = %d without an error", len(p), off, n)
			}
		}
	})
}
