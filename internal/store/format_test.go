package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
)

// memObject is an object in memory.
type memObject struct{ bytes.Buffer }

func (m *memObject) Commit() error { return nil }
func (m *memObject) Abort() error  { return nil }

type oneObject struct {
	Objects
	object *memObject
}

func (o oneObject) Create(context.Context, string) (ObjectWriter, error) { return o.object, nil }

// makePack returns a pack of chunks as a write makes it.
func makePack(t testing.TB, sizes ...int) ([]byte, []Entry) {
	t.Helper()
	object := &memObject{}
	p, err := createPack(t.Context(), oneObject{object: object}, "p")
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range sizes {
		chunk := bytes.Repeat([]byte{byte(i)}, n)
		p.note(sha256.Sum256(chunk), n, n, CodecNone)
		if err := p.write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.commit(); err != nil {
		t.Fatal(err)
	}
	if p.size != int64(object.Len()) {
		t.Errorf("the pack says it has %d bytes and has %d", p.size, object.Len())
	}
	return object.Bytes(), p.entries
}

// makeManifest returns a manifest of records of the given offsets and lengths, and its digest.
func makeManifest(t testing.TB, size int64, spans ...span) ([]byte, Digest) {
	t.Helper()
	object := &memObject{}
	m := &manifestWriter{object: object}
	for i, s := range spans {
		if err := m.add(s.off, int(s.n), sha256.Sum256([]byte{byte(i), byte(i >> 8)})); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := m.commit(size)
	if err != nil {
		t.Fatal(err)
	}
	return object.Bytes(), digest
}

func manySpans(n int) []span {
	spans := make([]span, n)
	for i := range spans {
		spans[i] = span{int64(i) * maxChunk, pageSize}
	}
	return spans
}

func TestPackTable(t *testing.T) {
	for _, sizes := range [][]int{{}, {1}, {4096, 1, maxChunk, 70000}} {
		pack, want := makePack(t, sizes...)
		got, err := readTable(bytes.NewReader(pack), "p", int64(len(pack)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(len(want), len(got)); diff != "" {
			t.Fatal(diff)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("entry %d is %+v, want %+v", i, got[i], want[i])
			}
		}
	}
}

// Every change of any byte of header, table or trailer is noticed, and so is every other length.
func TestPackTableNoticesDamage(t *testing.T) {
	pack, _ := makePack(t, 100, 200)
	for at := range pack {
		if at >= 12 && at < packHeader+300 {
			continue // zero bytes of the header, and the chunks
		}
		changed := bytes.Clone(pack)
		changed[at] ^= 0x40
		wantDamage(t, at, changed)
	}
	for n := range pack {
		wantDamage(t, n, pack[:n])
	}
	wantDamage(t, len(pack)+1, append(bytes.Clone(pack), 0))
}

func wantDamage(t *testing.T, at int, pack []byte) {
	t.Helper()
	var damage *DamageError
	if _, err := readTable(bytes.NewReader(pack), "p", int64(len(pack))); !errors.As(err, &damage) {
		t.Errorf("byte %d: error %v", at, err)
	}
}

// A table whose sum is right is still not believed.
func TestPackTableContradicts(t *testing.T) {
	for name, change := range map[string]func(*Entry){
		"offset":          func(e *Entry) { e.Offset++ },
		"stored too long": func(e *Entry) { e.Stored++ },
		"nothing stored":  func(e *Entry) { e.Stored = 0 },
		"length":          func(e *Entry) { e.Length = maxChunk + 1 },
		"grows":           func(e *Entry) { e.Length = 1 },
		"codec":           func(e *Entry) { e.Codec = 9 },
		"negative offset": func(e *Entry) { e.Offset = -1 },
	} {
		pack, entries := makePack(t, 100, 200)
		change(&entries[0])
		pack = appendTable(pack[:packHeader+300], entries)
		wantDamage(t, 0, pack)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestManifest(t *testing.T) {
	for _, n := range []int{0, 1, blockRecords - 1, blockRecords, blockRecords + 1, 2*blockRecords + 5} {
		spans := manySpans(n)
		size := int64(n)*maxChunk + 77
		object, digest := makeManifest(t, size, spans...)
		m, err := readManifest(bytes.NewReader(object), int64(len(object)), digest)
		if err != nil {
			t.Fatalf("%d records: %v", n, err)
		}
		if m.guestSize != size || m.dataBytes != int64(n)*pageSize || m.records != int64(n) {
			t.Errorf("%d records: %+v", n, m)
		}
		var got []span
		for i := range m.first {
			records, err := m.readBlock(bytes.NewReader(object), i)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				got = append(got, span{r.off, int64(r.n)})
			}
		}
		if diff := cmp.Diff(len(spans), len(got)); diff != "" {
			t.Fatal(diff)
		}
		for i := range got {
			if got[i] != spans[i] {
				t.Fatalf("record %d is %v, want %v", i, got[i], spans[i])
			}
		}
	}
}

// No byte of a manifest can change, and no length, without an error.
func TestManifestNoticesDamage(t *testing.T) {
	object, digest := makeManifest(t, 1<<20, manySpans(5)...)
	read := func(b []byte) error {
		m, err := readManifest(bytes.NewReader(b), int64(len(b)), digest)
		if err == nil {
			_, err = m.readBlock(bytes.NewReader(b), 0)
		}
		return err
	}
	for at := range object {
		changed := bytes.Clone(object)
		changed[at] ^= 1
		if read(changed) == nil {
			t.Errorf("byte %d changed: no error", at)
		}
		if read(object[:at]) == nil || read(object[at+1:]) == nil {
			t.Errorf("cut at %d: no error", at)
		}
	}
}

// A manifest with the right digest is still not believed: a fault of the writer must not become one of memory.
func TestManifestContradicts(t *testing.T) {
	for name, spans := range map[string][]span{
		"overlap":   {{0, 8192}, {4096, 4096}},
		"order":     {{8192, 4096}, {0, 4096}},
		"past size": {{1 << 20, 4096}},
		"crosses":   {{1<<20 - 4096, 8192}},
		"too long":  {{0, maxChunk + 1}},
		"empty":     {{0, 0}},
		"negative":  {{-4096, 4096}},
	} {
		object, digest := makeManifest(t, 1<<20, spans...)
		m, err := readManifest(bytes.NewReader(object), int64(len(object)), digest)
		if err == nil {
			_, err = m.readBlock(bytes.NewReader(object), 0)
		}
		if !errors.Is(err, errManifest) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCodecs(t *testing.T) {
	c, err := newCodecs()
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("all work and no play "), 3000)
	stored, codec := c.encode([]byte("before"), text)
	if codec != CodecZstd || string(stored[:6]) != "before" {
		t.Fatalf("text is kept by codec %d", codec)
	}
	noise := makeNoise(50000)
	if b, codec := c.encode(nil, noise); codec != CodecNone || !bytes.Equal(b, noise) {
		t.Errorf("noise is kept by codec %d in %d bytes", codec, len(b))
	}
	for _, test := range []struct {
		codec  Codec
		stored []byte
	}{{CodecNone, text}, {CodecZstd, stored[6:]}, {CodecS2, s2.Encode(nil, text)}} {
		got := make([]byte, len(text))
		if err := c.decode(got, test.stored, test.codec, sha256.Sum256(text)); err != nil || !bytes.Equal(got, text) {
			t.Errorf("codec %d: %v", test.codec, err)
		}
		for _, n := range []int{0, 1, len(text) - 1, len(text) + 1} {
			// The room after dst belongs to others.
			room := bytes.Repeat([]byte{0xee}, len(text)+100)
			if err := c.decode(room[:n], test.stored, test.codec, sha256.Sum256(text[:min(n, len(text))])); err == nil {
				t.Errorf("codec %d: %d bytes expand to %d", test.codec, len(text), n)
			}
			if !bytes.Equal(room[n:], bytes.Repeat([]byte{0xee}, len(room)-n)) {
				t.Errorf("codec %d writes past the end", test.codec)
			}
		}
		if err := c.decode(got, test.stored[:len(test.stored)-1], test.codec, sha256.Sum256(text)); err == nil {
			t.Errorf("codec %d: truncated, and no error", test.codec)
		}
	}
	if err := c.decode(make([]byte, 5), text[:5], 7, sha256.Sum256(text[:5])); err == nil {
		t.Error("an unknown codec is taken")
	}
}

func makeNoise(n int) []byte {
	var out []byte
	sum := sha256.Sum256(nil)
	for len(out) < n {
		sum = sha256.Sum256(sum[:])
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func FuzzPackTable(f *testing.F) {
	for _, sizes := range [][]int{{}, {1}, {4096, 100}} {
		pack, _ := makePack(f, sizes...)
		f.Add(pack, false)
		f.Add(pack[packHeader:], true)
	}
	f.Fuzz(func(t *testing.T, pack []byte, seal bool) {
		if seal { // make the sums right, so that what they guard is reached
			table := pack
			pack = append(binary.LittleEndian.AppendUint32([]byte(packMagic), packVersion), 0, 0, 0, 0)
			pack = append(pack, make([]byte, 300)...)
			pack = append(pack, table...)
			pack = binary.LittleEndian.AppendUint64(pack, uint64(len(table)/packEntry))
			sum := sha256.Sum256(pack[packHeader+300:])
			pack = append(append(pack, sum[:]...), packEnd...)
		}
		entries, err := readTable(bytes.NewReader(pack), "p", int64(len(pack)))
		at := int64(packHeader)
		for _, e := range entries {
			if e.Offset != at || e.Stored == 0 || e.Length > maxChunk {
				t.Fatalf("entry %+v at %d", e, at)
			}
			at += int64(e.Stored)
		}
		if err == nil && at > int64(len(pack)) {
			t.Fatalf("chunks end at %d of %d", at, len(pack))
		}
	})
}

func FuzzManifest(f *testing.F) {
	for _, n := range []int{0, 1, 3, blockRecords + 1} {
		object, _ := makeManifest(f, int64(n)*maxChunk, manySpans(n)...)
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		// The digest that fits, so that what it guards is reached.
		var digest Digest
		if len(object) >= manifestTrailer {
			n := binary.LittleEndian.Uint64(object[len(object)-8:])
			root := (n+blockRecords-1)/blockRecords*indexEntry + manifestTrailer
			if n < 1<<32 && root <= uint64(len(object)) {
				digest = sha256.Sum256(object[uint64(len(object))-root:])
			}
		}
		m, err := readManifest(bytes.NewReader(object), int64(len(object)), digest)
		if err != nil {
			return
		}
		for i := range m.first {
			first := m.first[i]
			m.sums[i] = sha256.Sum256(object[i*blockRecords*recordSize : min((i+1)*blockRecords*recordSize, int(m.records)*recordSize)])
			records, err := m.readBlock(bytes.NewReader(object), i)
			if err != nil {
				continue
			}
			for _, r := range records {
				if r.off < first || r.n == 0 || r.n > maxChunk || r.end() > m.guestSize {
					t.Fatalf("record %+v after %d in a guest of %d", r, first, m.guestSize)
				}
				first = r.end()
			}
		}
	})
}
