package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"
)

const (
	// locateAhead is how many chunks of a manifest are located in one question: about 4 MB of guest data.
	locateAhead = 128

	// blocksKept is how many blocks of its manifest a Reader keeps, 100 KB each for 36 MB of guest data.
	blocksKept = 4
)

// Reader is a kept disk. It is safe for use by several goroutines; a read of a MB or more runs on all processors.
// Every byte that it returns has been checked against the image's digest.
type Reader struct {
	ctx     context.Context
	store   *Store
	object  objectReader
	root    *manifest
	mu      sync.Mutex
	blocks  map[int]*block
	lastUse int    // counts the uses of blocks
	ahead   *ahead // nil where requests are cheap
}

// block is a block of the manifest with what is known of its chunks' places.
type block struct {
	records []record
	used    int

	mu        sync.Mutex
	locations []Location // of each record; Length is 0 where it has not been asked for
}

// Open returns the disk of a manifest object whose content digest the catalogue knows. ctx bounds the reads too. What
// is wrong with the manifest is a *DamageError; a manifest that was deleted is fs.ErrNotExist.
func (s *Store) Open(ctx context.Context, object string, digest Digest) (*Reader, error) {
	size, err := s.objects.Stat(ctx, object)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", object, err)
	}
	r := &Reader{
		ctx:    ctx,
		store:  s,
		object: objectReader{ctx: ctx, objects: s.objects, name: object},
		blocks: map[int]*block{},
	}
	if r.root, err = readManifest(r.object, size, digest); err != nil {
		return nil, r.damage(err)
	}
	if _, distant := s.objects.(Distant); distant {
		r.ahead = &ahead{r: r}
	}
	return r, nil
}

// damage says that the manifest is at fault, unless the reading of it was.
func (r *Reader) damage(err error) error {
	if c := corrupt(""); errors.As(err, &c) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamageError{Object: r.object.name, Reason: "manifest", Cause: err}
	}
	return fmt.Errorf("manifest %s: %w", r.object.name, err)
}

// Size returns the guest disk's size in bytes.
func (r *Reader) Size() int64 { return r.root.guestSize }

// NextData returns the next range of chunks that follow one another.
func (r *Reader) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, fs.ErrInvalid
	}
	for i := max(r.root.blockOf(off), 0); i < len(r.root.first); i++ {
		b, err := r.block(i)
		if err != nil {
			return 0, 0, err
		}
		if start, end, ok := dataFrom(b.records, off); ok {
			return start, end, nil
		}
	}
	return 0, 0, io.EOF
}

// dataFrom returns the first range of adjacent records at or after off.
func dataFrom(records []record, off int64) (start, end int64, ok bool) {
	for i := firstAfter(records, off); i < len(records); i++ {
		r := &records[i]
		if !ok {
			start, end, ok = max(off, r.off), r.end(), true
			continue
		}
		if r.off != end {
			break
		}
		end = r.end()
	}
	return start, end, ok
}

// ReadAt reads guest bytes.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if off >= r.Size() {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(len(p)), r.Size()-off)]
	if err := r.fill(p, off); err != nil {
		return 0, err
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

// fill reads guest bytes that lie in the disk.
func (r *Reader) fill(p []byte, off int64) error {
	end := off + int64(len(p))
	at := off
	f := fetch{store: r.store, ctx: r.ctx, ahead: r.ahead}
	for i := max(r.root.blockOf(off), 0); i < len(r.root.first) && r.root.first[i] < end; i++ {
		b, err := r.block(i)
		if err != nil {
			return err
		}
		for j := firstAfter(b.records, at); j < len(b.records) && b.records[j].off < end; j++ {
			rec := &b.records[j]
			if rec.off > at {
				clear(p[at-off : rec.off-off])
			}
			l, err := b.locate(r, j)
			if err != nil {
				return err
			}
			from, to := max(rec.off, off), min(rec.end(), end)
			f.add(i*blockRecords+j, want{digest: rec.digest, place: l, into: p[from-off : to-off], skip: int(from - rec.off), length: int(rec.n)})
			at = to
		}
	}
	clear(p[at-off:])
	return f.run()
}

// firstAfter returns the index of the first record that ends after off.
func firstAfter(records []record, off int64) int {
	return sort.Search(len(records), func(i int) bool { return records[i].end() > off })
}

// block returns a block of the manifest. Two goroutines that miss the same one both read it.
func (r *Reader) block(i int) (*block, error) {
	if b := r.keptBlock(i); b != nil {
		return b, nil
	}
	records, err := r.root.readBlock(r.object, i)
	if err != nil {
		return nil, r.damage(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.blocks) >= blocksKept {
		oldest := -1
		for k, b := range r.blocks {
			if oldest < 0 || b.used < r.blocks[oldest].used {
				oldest = k
			}
		}
		delete(r.blocks, oldest)
	}
	r.lastUse++
	r.blocks[i] = &block{records: records, used: r.lastUse, locations: make([]Location, len(records))}
	return r.blocks[i], nil
}

func (r *Reader) keptBlock(i int) *block {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.blocks[i]
	if b != nil {
		r.lastUse++
		b.used = r.lastUse
	}
	return b
}

// place returns where a record is, counted over the whole manifest.
func (r *Reader) place(record int) (Location, error) {
	b, err := r.block(record / blockRecords)
	if err != nil {
		return Location{}, err
	}
	return b.locate(r, record%blockRecords)
}

// locate returns where record j is, and asks for those that follow it in the same question.
func (b *block) locate(r *Reader, j int) (Location, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.locations[j].Length != 0 {
		return b.locations[j], nil
	}
	var digests []Digest
	to := j
	for ; to < len(b.records) && len(digests) < locateAhead; to++ {
		digests = append(digests, b.records[to].digest)
	}
	found, err := r.store.index.Locate(r.ctx, digests)
	if err != nil {
		return Location{}, err
	}
	for k := range found {
		if found[k].Length == b.records[j+k].n && found[k].plausible() {
			b.locations[j+k] = found[k]
		}
	}
	if b.locations[j].Length == 0 {
		return Location{}, &DamageError{Object: r.object.name, Reason: "chunk " + b.records[j].digest.String() + " is not in the store"}
	}
	return b.locations[j], nil
}
