package qcow2

import (
	"runtime"
	"testing"
)

func TestClaims(t *testing.T) {
	type step struct {
		stream   bool
		from, to int64
		want     verdict
	}
	whole := func(from, to int64, want verdict) step { return step{false, from, to, want} }
	stream := func(from, to int64, want verdict) step { return step{true, from, to, want} }
	for name, steps := range map[string][]step{
		"clusters": {whole(4096, 8192, granted), whole(8192, 12288, granted), whole(4096, 8192, taken), whole(7680, 8704, taken)},
		"across words and pages": {whole(0, 64*512, granted), whole(64*512, 200*512, granted), whole(199*512, 201*512, taken),
			whole(pageBytes-512, pageBytes, granted), whole(pageBytes, pageBytes+4096, granted), whole(pageBytes-1024, pageBytes+512, taken)},
		"streams share sectors":      {stream(0, 1536, granted), stream(1100, 2048, granted), stream(1900, 2560, granted)},
		"in any order":               {stream(1900, 2560, granted), stream(0, 1536, granted), stream(1100, 2048, granted)},
		"streams in one sector":      {stream(512, 1024, granted), stream(530, 1024, granted), stream(512, 1024, taken)},
		"same boundary":              {stream(0, 1024, granted), stream(100, 1024, taken)},
		"same boundary at the end":   {stream(0, 2048, granted), stream(1100, 2048, taken)},
		"same start, one longer":     {stream(0, 1024, granted), stream(0, 2048, taken)},
		"within another":             {stream(0, 4096, granted), stream(1024, 1536, taken), stream(1024, 2048, taken)},
		"around another":             {stream(1024, 1536, granted), stream(0, 4096, taken)},
		"ends in another":            {stream(512, 4096, granted), stream(0, 1536, taken)},
		"stream in a cluster":        {whole(4096, 8192, granted), stream(4200, 4608, taken), stream(4000, 4608, taken), stream(4096, 9000, taken)},
		"cluster in a stream":        {stream(4200, 9728, granted), whole(4096, 8192, taken), whole(8192, 12288, taken)},
		"cluster over a tiny stream": {stream(4200, 4608, granted), whole(4096, 8192, taken)},
	} {
		var c claims
		for i, s := range steps {
			take := c.claim
			if s.stream {
				take = func(from, to int64) verdict { return c.claimStream(from, to-from) }
			}
			if got := take(s.from, s.to); got != s.want {
				t.Errorf("%s: step %d: %d, want %d", name, i, got, s.want)
			}
		}
	}
}

// Any number of streams within one sector may follow one another. In no order, as many are told apart as are remembered, and
// more are refused.
func TestTinyStreamsAreBounded(t *testing.T) {
	const streams, length = 3 * maxTiny, 8
	var c claims
	claim := func(from int64) verdict { return c.claimStream(from, sectorSize-from%sectorSize) }
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range int64(streams) {
		if got := claim((i ^ 63) * length); got != granted { // a writer with many hands
			t.Fatalf("stream %d: %d", i, got)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := after.HeapAlloc - before.HeapAlloc; n > 48<<20 {
		t.Errorf("%d MiB are in use", n>>20)
	}
	for from, want := range map[int64]verdict{
		0:                                      tooMany,
		4:                                      tooMany,
		(streams-maxTiny)*length - length:      tooMany,
		(streams-maxTiny)*length + 2*tinyBytes: taken,
		streams*length - length:                taken,
		streams*length - length + 4:            granted,
	} {
		if got := claim(from); got != want {
			t.Errorf("another at %d: %d, want %d", from, got, want)
		}
	}
	if got := c.claim(0, sectorSize); got != taken {
		t.Errorf("a cluster over what was forgotten: %d", got)
	}
}
