package raw

import (
	"bytes"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

func FuzzCheck(f *testing.F) {
	for _, b := range [][]byte{
		withMBR(make([]byte, 512)), withMBR(make([]byte, 512), [3]uint32{0x83, 2048, 8}), withGPT(make([]byte, 1024), 512, 100),
		withGPT(make([]byte, 8192), 4096, 100), []byte("<html>"), []byte("{\"a\":1}"), []byte("\xef\xbb\xbf\xc3"), nil,
	} {
		f.Add(b, int64(-1))
		f.Add(b, int64(1<<20))
	}
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		err := Check(head, size)
		if err != nil && refusal.As(err) == nil {
			t.Errorf("%v is no refusal", err)
		}
		if err == nil && !hasTable(head) {
			t.Error("accepted without a table")
		}
		Tail(head)
	})
}

// FuzzStream compares the stream with random access. mask says which pages hold data.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0xff, 0, 0x55, 0xf0}, 100, -1)
	f.Add([]byte{0, 0, 1}, 0, 4096)
	f.Fuzz(func(t *testing.T, mask []byte, odd, known int) {
		b := make([]byte, min(len(mask), 400)*8*pageSize+512+(odd&pageSize-1)&(pageSize-1))
		for i := range min(len(b)/pageSize, 8*len(mask)) {
			if mask[i/8]>>(i%8)&1 != 0 {
				b[i*pageSize+(i*odd)&(pageSize-1)] = 1
			}
		}
		withMBR(b)
		size := int64(-1)
		if known > 0 {
			size = int64(len(b))
		}
		d, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := follow(stream(t, b, size))
		if err != nil || int64(len(got)) != d.Size() || !bytes.Equal(got[:len(b)], b) {
			t.Errorf("%d bytes of %d, %v", len(got), d.Size(), err)
		}
		disktest.Drain(t, d, 1<<30)
	})
}
