package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"

	"ingot/gradient/ingot"
)

type imagePullCmd struct {
	clientFlags
	ID     int64  `arg:"" help:"The image's id."`
	File   string `arg:"" help:"The file to write."`
	Format string `help:"raw or qcow2. Without it, qcow2 if the file's name ends so, else raw." enum:",raw,qcow2" default:"" placeholder:"FORMAT" env:"-"`
	Base   string `help:"A raw file of an older version of the image: only what differs from it is fetched." type:"existingfile" placeholder:"OLDFILE" env:"-"`
}

// Run fetches the image into FILE.part, which becomes FILE when every byte has been checked. What an interrupted pull
// has fetched is used by the next; one that has nothing to leave to it leaves nothing.
func (c *imagePullCmd) Run(ctx context.Context, term terminal) error {
	if c.Format == "" {
		c.Format = "raw"
		if strings.EqualFold(filepath.Ext(c.File), ".qcow2") {
			c.Format = "qcow2"
		}
	}
	if c.Base != "" && c.Format != "raw" {
		return usageError{errors.New("--base is for raw files")}
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	manifest, err := cl.more.Manifests.Get(ctx, c.ID)
	if err != nil {
		return err
	}
	remote, err := cl.more.Files.Open(ctx, c.ID, ingot.FileOpenParams{Format: ingot.FileFormat(c.Format)})
	if err != nil {
		return err
	}
	part, err := openPart(c.File+".part", remote.ETag())
	if err != nil {
		return err
	}
	defer part.Close()
	bar := newBar(term)
	defer bar.close()
	p := &pull{manifest: manifest, remote: remote, part: part, bar: bar, base: c.Base}
	if c.Format == "raw" {
		err = p.raw(ctx)
	} else {
		err = p.qcow2(ctx)
	}
	if err != nil && p.have.Load() == 0 {
		return errors.Join(err, part.discard())
	}
	if err != nil {
		return fmt.Errorf("%w\nWhat was fetched is kept in %s; the same command goes on from there", err, part.Name())
	}
	if err := part.become(c.File); err != nil {
		return err
	}
	return c.print(term, map[string]any{"file": c.File, "size": remote.Size(), "fetched": p.fetched.Load()}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s, %s fetched, all of it verified\n", c.File, sizeText(remote.Size()), sizeText(p.fetched.Load()))
		return err
	})
}

// pull is the fetching of one file.
type pull struct {
	manifest *ingot.Manifest
	remote   *ingot.File
	part     *part
	bar      *bar
	base     string       // "" for none
	have     atomic.Int64 // bytes in the part that the next pull can use
	fetched  atomic.Int64
}
