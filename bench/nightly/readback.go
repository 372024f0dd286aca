package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
)

// disk is what an image must be when it is read back.
type disk struct {
	image  int64
	digest [sha256.Size]byte
}

// note keeps the digest of an image's raw disk; the disk itself makes room for the next night's.
func (r *report) note(image int64, raw string) error {
	f, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := digest(f)
	r.disks = append(r.disks, disk{image, d})
	return err
}

// readBack reads the noted images as raw disks, from a store that was settled after every night.
func (r *report) readBack(ctx context.Context) error {
	for _, d := range r.disks {
		got, err := r.read(ctx, d.image)
		if err != nil {
			return fmt.Errorf("image %d: %w", d.image, err)
		}
		if got != d.digest {
			return fmt.Errorf("image %d reads back as %x, and its raw disk was %x", d.image, got, d.digest)
		}
	}
	fmt.Println("The first image and the last read back as their raw disks were.")
	return nil
}

func (r *report) read(ctx context.Context, image int64) (sum [sha256.Size]byte, err error) {
	url, err := r.service.Link(ctx, image, "raw")
	if err != nil {
		return sum, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return sum, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return sum, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return sum, fmt.Errorf("GET: %s", resp.Status)
	}
	return digest(resp.Body)
}

func digest(from io.Reader) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, from)
	return [sha256.Size]byte(h.Sum(nil)), err
}
