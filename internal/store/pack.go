package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A pack, version 1, is one object. All numbers are little-endian.
//
//	header    "INGOTPAK", version u32, zero u32
//	chunks    one after the other, as their codecs left them
//	table     for each chunk: digest [32], offset u64, stored u32, length u32, codec u8, zero [3]
//	trailer   count of chunks u64, SHA-256 of table and count [32], "INGOTPKE"
//
// The table makes the chunk index something that can be rebuilt.
const (
	packMagic   = "INGOTPAK"
	packEnd     = "INGOTPKE"
	packVersion = 1
	packHeader  = 16
	packEntry   = 32 + 8 + 4 + 4 + 4
	packTrailer = 8 + 32 + 8
	packSize    = 32 << 20 // of chunks; the last one may pass it
	packEntries = 1 << 14  // more would make one transaction, and what is remembered of an open pack, too large
)

// DamageError says that kept content is not what was written.
type DamageError struct {
	Object string
	Reason string
	Cause  error // may be nil
}

func (e *DamageError) Error() string {
	msg := "image content is damaged: object " + e.Object + ": " + e.Reason
	if e.Cause != nil {
		msg += ": " + e.Cause.Error()
	}
	return msg
}

func (e *DamageError) Unwrap() error { return e.Cause }

// packWriter streams one pack to its object.
type packWriter struct {
	name    string
	object  ObjectWriter
	entries []Entry
	size    int64
}

// createPack begins a pack whose name is registered already.
func createPack(ctx context.Context, objects Objects, name string) (*packWriter, error) {
	object, err := objects.Create(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &packWriter{name: name, object: object}
	header := binary.LittleEndian.AppendUint32([]byte(packMagic), packVersion)
	if err := p.write(binary.LittleEndian.AppendUint32(header, 0)); err != nil {
		return nil, errors.Join(err, object.Abort())
	}
	return p, nil
}

func (p *packWriter) write(b []byte) error {
	n, err := p.object.Write(b)
	p.size += int64(n)
	return err
}

// full says that the pack takes no more chunks.
func (p *packWriter) full() bool { return p.end() >= packSize || len(p.entries) >= packEntries }

// end is where the chunks noted so far end.
func (p *packWriter) end() int64 {
	if len(p.entries) == 0 {
		return packHeader
	}
	last := p.entries[len(p.entries)-1]
	return last.Offset + int64(last.Stored)
}

// note gives the next chunk its place behind the ones noted before; their bytes are written in the same order.
func (p *packWriter) note(digest Digest, stored, length int, codec Codec) {
	p.entries = append(p.entries, Entry{Digest: digest, Location: Location{
		Pack: p.name, Offset: p.end(), Stored: uint32(stored), Length: uint32(length), Codec: codec}})
}

// commit writes the table and makes the pack durable.
func (p *packWriter) commit() error {
	if err := p.write(appendTable(nil, p.entries)); err != nil {
		return err
	}
	return p.object.Commit()
}

func appendTable(b []byte, entries []Entry) []byte {
	b = slices.Grow(b, len(entries)*packEntry+packTrailer)
	for i := range entries {
		e := &entries[i]
		b = append(b, e.Digest[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Offset))
		b = binary.LittleEndian.AppendUint32(b, e.Stored)
		b = binary.LittleEndian.AppendUint32(b, e.Length)
		b = append(b, byte(e.Codec), 0, 0, 0)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(entries)))
	sum := sha256.Sum256(b)
	return append(append(b, sum[:]...), packEnd...)
}

// readTable returns the entries of a pack of the given size, in the order in which their bytes stand.
func readTable(r io.ReaderAt, name string, size int64) ([]Entry, error) {
	damaged := func(reason string) ([]Entry, error) { return nil, &DamageError{Object: name, Reason: reason} }
	if size < packHeader+packTrailer {
		return damaged("too short for a pack")
	}
	var trailer [packTrailer]byte
	if err := readFull(r, trailer[:], size-packTrailer); err != nil {
		return nil, err
	}
	count := binary.LittleEndian.Uint64(trailer[:])
	if string(trailer[40:]) != packEnd || count > uint64(size-packHeader-packTrailer)/packEntry || count > packEntries {
		return damaged("the end of the pack is not one")
	}
	table := make([]byte, count*packEntry+8)
	end := size - packTrailer - int64(count*packEntry)
	if err := readFull(r, table, end); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(table); !bytes.Equal(sum[:], trailer[8:40]) {
		return damaged("the pack's table does not match its sum")
	}
	var header [packHeader]byte
	if err := readFull(r, header[:], 0); err != nil {
		return nil, err
	}
	if string(header[:8]) != packMagic || binary.LittleEndian.Uint32(header[8:]) != packVersion {
		return damaged("not a pack of version 1")
	}
	entries, ok := parseTable(table[:count*packEntry], name, end)
	if !ok {
		return damaged("the pack's table contradicts itself")
	}
	return entries, nil
}

// parseTable checks that the chunks fill the pack from its header to end, the table's own offset.
func parseTable(table []byte, name string, end int64) ([]Entry, bool) {
	entries := make([]Entry, len(table)/packEntry)
	at := int64(packHeader)
	for i := range entries {
		b, e := table[i*packEntry:], &entries[i]
		e.Digest = Digest(b[:32])
		e.Location = Location{
			Pack:   name,
			Offset: int64(binary.LittleEndian.Uint64(b[32:])),
			Stored: binary.LittleEndian.Uint32(b[40:]),
			Length: binary.LittleEndian.Uint32(b[44:]),
			Codec:  Codec(b[48]),
		}
		if e.Offset != at || !e.plausible() || int64(e.Stored) > end-at {
			return nil, false
		}
		at += int64(e.Stored)
	}
	return entries, at == end
}

// plausible says that a location can be read within the memory that a chunk may take.
func (l *Location) plausible() bool {
	return l.Offset >= packHeader && l.Stored > 0 && l.Stored <= l.Length && l.Length <= maxChunk && l.Codec <= CodecS2
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%d bytes at %d: %w", len(p), off, err)
}

// objectReader is one object as an io.ReaderAt.
type objectReader struct {
	ctx     context.Context
	objects Objects
	name    string
}

func (o objectReader) ReadAt(p []byte, off int64) (int, error) {
	if err := o.objects.ReadAt(o.ctx, o.name, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}
