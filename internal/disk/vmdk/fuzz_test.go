package vmdk

import (
	"bytes"
	"fmt"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

func FuzzOpen(f *testing.F) {
	want := bytes.Repeat(append(bytes.Repeat([]byte("some text "), 400), make([]byte, 4192)...), 3)[:5*4096+1024]
	for _, m := range []*made{
		makeStream(want, options{small: true, grain: 8}),
		makeStream(want, options{small: true, grain: 8, order: reversed(6)}),
		makeStream(want, options{small: true, grain: 8, redundant: true, progress: true, cutLast: true}),
		makeSparse(want, options{small: true, grain: 8}),
		makeSparse(want[:1024], options{small: true}),
	} {
		f.Add(m.file, true)
		f.Add(m.file, false)
	}
	f.Fuzz(func(t *testing.T, file []byte, sized bool) {
		size := int64(-1)
		if sized {
			size = int64(len(file))
		}
		d, err := Open(bytes.NewReader(file), size, nil)
		if err != nil {
			if refusal.As(err) == nil {
				t.Errorf("Open: %v is no refusal", err)
			}
			return
		}
		// A read at the end first makes a stream be scanned before its map is walked.
		if sized {
			d.ReadAt(make([]byte, 1024), d.Size()-1024)
		}
		disktest.Drain(t, d, 4<<20)
	})
}

func FuzzDescriptor(f *testing.F) {
	f.Add(fmt.Appendf(nil, sparseDescriptor, 8))
	f.Add(fmt.Appendf(nil, streamDescriptor, 8))
	f.Add([]byte("RW\t8\tFLAT\t\"a=b\"\t0\n parentFileNameHint = \"x\"\x00"))
	f.Add([]byte("\u00a0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		Foreign(text)
		d, err := parseDescriptor(text)
		if err != nil || d.check(header{capacity: 8, grain: 128}) != nil {
			return
		}
		// What was accepted has the one extent, as a reader that only looks for the words sees it too.
		text, _, _ = bytes.Cut(bytes.ToLower(text), []byte{0})
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			key, _, set := bytes.Cut(line, []byte("="))
			words := append(bytes.Fields(line), nil, nil, nil)
			if set && string(bytes.Trim(key, " \t\r")) == "parentfilenamehint" ||
				string(words[0]) == "rw" && !bytes.HasPrefix(words[2], []byte("sparse")) {
				t.Errorf("accepted %q", text)
			}
		}
	})
}
