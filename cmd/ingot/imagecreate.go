package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

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
	Resume       string   `help:"With a local file: go on with the upload of this id, which the service must have a part of." placeholder:"ID" env:"-"`
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
	local := !strings.Contains(source, "://") && !strings.HasPrefix(source, "upload:")
	if c.Resume != "" && (!local || c.Type != "") {
		return usageError{errors.New("--resume goes with a local file")}
	}
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
	if local {
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

// fromFile uploads a local file and imports it. What cannot be imported, and what somebody ends by Ctrl-C, is not left
// behind: the file is still here. Whatever else breaks leaves the upload there, to be gone on with.
func (c *imageCreateCmd) fromFile(ctx context.Context, term terminal, cl *client, name, file string) error {
	up, err := cl.upload(ctx, term, file, c.Resume)
	if up == nil {
		return err
	}
	var m *gradient.Image
	from := up.ImageURL()
	if err == nil && c.Resume != "" { // the file may be another one than that which the upload began with
		var sum string
		sum, err = fileSum(ctx, file)
		from += "#sha256=" + sum
	}
	if err == nil {
		m, err = c.create(ctx, cl, name, from)
	}
	if m == nil {
		return cl.unfinished(ctx, up.ID, err)
	}
	err = c.toEnd(ctx, term, cl, m)
	if failed := new(ingot.ImportError); errors.As(err, &failed) {
		err = errors.Join(err, cl.dropUpload(ctx, up.ID))
	}
	return err
}

// fileSum is the SHA-256 of a file, in hexadecimal.
func fileSum(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })() // ends the reading
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// unfinished says how to go on with an upload of which no image was made.
func (c *client) unfinished(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return errors.Join(err, c.dropUpload(ctx, id))
	}
	var e *gradient.Error
	if errors.As(err, &e) && (e.StatusCode == http.StatusNotFound || e.StatusCode == http.StatusGone) {
		return err
	}
	return fmt.Errorf("%w\nThe service keeps what has arrived, for a day. To go on, give the same command with --resume %s", err, id)
}

// dropUpload deletes an upload although ctx may have ended, and does not wait for long: somebody may want to get away.
func (c *client) dropUpload(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return c.more.Uploads.Delete(ctx, id)
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

// upload sends a local file, or what the service lacks of one. With an error it returns the upload too, if there is one.
func (c *client) upload(ctx context.Context, term terminal, name, resume string) (*ingot.Upload, error) {
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
	up := &ingot.Upload{ID: resume}
	if resume == "" {
		up, err = c.more.Uploads.New(ctx, ingot.UploadNewParams{
			Size: info.Size(), Metadata: map[string]string{"filename": filepath.Base(name)},
		})
	}
	if err != nil {
		return nil, err
	}
	bar := newBar(term)
	defer bar.close()
	done, err := c.more.Uploads.Resume(ctx, up.ID, f, info.Size(), func(sent int64) { bar.show("upload", sent, info.Size()) })
	if err != nil {
		return up, fmt.Errorf("%s: %w", name, err)
	}
	return done, nil
}
