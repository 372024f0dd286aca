package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ingot/gradient"
	"ingot/gradient/ingot"
)

type imageCreateCmd struct {
	clientFlags
	Source       string   `arg:"" optional:"" help:"A URL, or a local file, which is uploaded."`
	URL          string   `help:"The URL, in another place." env:"-" name:"url"`
	Name         string   `help:"The image's name. Without it, the file's." env:"-"`
	Region       string   `help:"The region. Without it, the service's first." env:"-"`
	Distribution string   `help:"The distribution, for example Debian." env:"-"`
	Description  string   `help:"A description." env:"-"`
	Tag          []string `help:"A tag; repeatable." env:"-"`
	Wait         bool     `help:"Wait for the import, with its progress. A local file is always waited for." env:"-"`

	Type     string `help:"snapshot or backup: registers an image of a type that only the operator can make, on the catalogue of --data, for --account." enum:",snapshot,backup" default:"" placeholder:"TYPE" env:"-"`
	Account  string `help:"With --type: the account that gets the image." default:"default" env:"-"`
	Database string `help:"With --type: the catalogue, as of ingot serve."`
	NoWait   bool   `help:"With --type: do not wait for the import." env:"-"`
}

func (c *imageCreateCmd) Run(ctx context.Context, term terminal) error {
	if c.Source != "" && c.URL != "" {
		return usageError{errors.New("one source: an argument or --url")}
	}
	source := cmp.Or(c.Source, c.URL)
	if source == "" {
		return usageError{errors.New("name a URL or a local file")}
	}
	name := cmp.Or(c.Name, nameOf(source))
	if c.Type != "" {
		r := registerCmd{
			dataFlags: dataFlags{Data: c.Data, Database: c.Database}, Type: c.Type, Account: c.Account, Name: name, URL: source,
			Region: c.Region, Distribution: c.Distribution, Description: c.Description, Tag: c.Tag, NoWait: c.NoWait,
		}
		return r.Run(ctx, term)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	if !strings.Contains(source, "://") && !strings.HasPrefix(source, "upload:") {
		return c.fromFile(ctx, term, cl, name, source)
	}
	m, err := c.create(ctx, cl, name, source)
	if err != nil {
		return err
	}
	if !c.Wait {
		return c.printImage(term, *m)
	}
	return c.toEnd(ctx, term, cl, m)
}

// fromFile uploads a local file and imports it. What cannot be imported is not left behind: the file is still here.
func (c *imageCreateCmd) fromFile(ctx context.Context, term terminal, cl *client, name, file string) error {
	up, err := cl.upload(ctx, term, file)
	if err != nil {
		return err
	}
	m, err := c.create(ctx, cl, name, up.ImageURL())
	if err == nil {
		err = c.toEnd(ctx, term, cl, m)
	}
	if failed := new(ingot.ImportError); m == nil || errors.As(err, &failed) {
		err = errors.Join(err, cl.more.Uploads.Delete(context.WithoutCancel(ctx), up.ID))
	}
	return err
}

// toEnd waits for an import and shows the image.
func (c *imageCreateCmd) toEnd(ctx context.Context, term terminal, cl *client, m *gradient.Image) error {
	if _, err := cl.follow(ctx, m.ID, newBar(term)); err != nil {
		return fmt.Errorf("image %d: %w", m.ID, err)
	}
	answer, err := cl.GPUDroplets.Images.Get(ctx, gradient.GPUDropletImageGetParamsImageIDUnion{OfInt: gradient.Int(m.ID)})
	if err != nil {
		return err
	}
	return c.printImage(term, answer.Image)
}

// nameOf is the last part of a path or a URL, without what a URL may have behind it.
func nameOf(source string) string {
	if u, err := url.Parse(source); err == nil && u.Scheme != "" && u.Path != "" {
		return path.Base(u.Path)
	}
	return filepath.Base(source)
}

func (c *imageCreateCmd) create(ctx context.Context, cl *client, name, source string) (*gradient.Image, error) {
	region, err := cl.region(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	params := gradient.GPUDropletImageNewParams{
		Name: gradient.String(name), URL: gradient.String(source), Region: region,
		Distribution: gradient.ImageDistribution(c.Distribution), Tags: c.Tag,
	}
	if c.Description != "" {
		params.Description = gradient.String(c.Description)
	}
	answer, err := cl.GPUDroplets.Images.New(ctx, params)
	if err != nil {
		return nil, err
	}
	return &answer.Image, nil
}

// region is the one asked for, or the first that the service has.
func (c *client) region(ctx context.Context, slug string) (gradient.RegionSlug, error) {
	if slug != "" {
		return gradient.RegionSlug(slug), nil
	}
	pager := c.more.Regions.ListAutoPaging(ctx)
	if !pager.Next() {
		return "", errors.Join(errors.New("the service names no region; give --region"), pager.Err())
	}
	return gradient.RegionSlug(pager.Current().Slug), nil
}

// upload sends a local file. Who interrupts it leaves nothing behind.
func (c *client) upload(ctx context.Context, term terminal, name string) (*ingot.Upload, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	up, err := c.more.Uploads.New(ctx, ingot.UploadNewParams{
		Size: info.Size(), Metadata: map[string]string{"filename": filepath.Base(name)},
	})
	if err != nil {
		return nil, err
	}
	bar := newBar(term)
	defer bar.close()
	done, err := c.more.Uploads.Resume(ctx, up.ID, f, info.Size(), func(sent int64) { bar.show("upload", sent, info.Size()) })
	if err != nil {
		bar.close()
		if shrunk(f, info.Size()) {
			err = fmt.Errorf("%s became shorter while it was uploaded: %w", name, err)
		}
		return nil, errors.Join(err, c.more.Uploads.Delete(context.WithoutCancel(ctx), up.ID))
	}
	return done, nil
}

func shrunk(f *os.File, size int64) bool {
	now, err := f.Seek(0, io.SeekEnd)
	return err == nil && now < size
}
