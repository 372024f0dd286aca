package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"ingot/gradient"
	"ingot/gradient/ingot"
)

type imageCmd struct {
	Create   imageCreateCmd   `cmd:"" help:"Import an image from a URL or a local file."`
	List     imageListCmd     `cmd:"" help:"List images."`
	Get      imageGetCmd      `cmd:"" help:"Show an image, by its id or a public one's slug."`
	Update   imageUpdateCmd   `cmd:"" help:"Change an image's name, description or distribution."`
	Delete   imageDeleteCmd   `cmd:"" help:"Delete images; an import that runs is ended."`
	Transfer imageTransferCmd `cmd:"" help:"Make an image available in one more region."`
	Pull     imagePullCmd     `cmd:"" help:"Fetch an image to a file: resumed, verified, sparse."`
	Link     imageLinkCmd     `cmd:"" help:"Make a link to an image's file for tools that cannot send a token."`
}

type imageListCmd struct {
	clientFlags
	Private bool   `help:"Only the account's own." env:"-"`
	Type    string `help:"Only public images of this kind: distribution or application." enum:",distribution,application" default:"" placeholder:"KIND" env:"-"`
	Tag     string `help:"Only images with this tag." env:"-"`
}

func (c *imageListCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	query := gradient.GPUDropletImageListParams{PerPage: gradient.Int(200), Type: gradient.GPUDropletImageListParamsType(c.Type)}
	if c.Private {
		query.Private = gradient.Bool(true)
	}
	if c.Tag != "" {
		query.TagName = gradient.String(c.Tag)
	}
	images, answers := []gradient.Image{}, []json.RawMessage{}
	pager := cl.GPUDroplets.Images.ListAutoPaging(ctx, query)
	for pager.Next() {
		m := pager.Current()
		images, answers = append(images, m), append(answers, raw(m))
	}
	if err := pager.Err(); err != nil {
		return err
	}
	return c.print(term, answers, func(w io.Writer) error { return imageTable(w, images) })
}

func imageTable(w io.Writer, images []gradient.Image) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tTYPE\tDISTRIBUTION\tSTATUS\tDISK\tDATA\tREGIONS\tTAGS")
	for _, m := range images {
		disk, data := "-", "-"
		if m.MinDiskSize > 0 {
			disk, data = fmt.Sprintf("%d GiB", m.MinDiskSize), fmt.Sprintf("%.2f GiB", m.SizeGigabytes)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.Name, m.Type, m.Distribution, m.Status, disk, data,
			join(m.Regions), strings.Join(m.Tags, ","))
	}
	return t.Flush()
}

func join[S ~string](list []S) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = string(s)
	}
	return strings.Join(texts, ",")
}

type imageGetCmd struct {
	clientFlags
	Image string `arg:"" help:"The image's id, or a public image's slug."`
}

func (c *imageGetCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	answer, err := cl.GPUDroplets.Images.Get(ctx, imageByName(c.Image))
	if err != nil {
		return err
	}
	return c.printImage(term, answer.Image)
}

func (f clientFlags) printImage(term terminal, m gradient.Image) error {
	return f.print(term, raw(m), func(w io.Writer) error {
		if err := imageTable(w, []gradient.Image{m}); err != nil || m.ErrorMessage == "" {
			return err
		}
		_, err := fmt.Fprintln(w, m.ErrorMessage)
		return err
	})
}

type imageUpdateCmd struct {
	clientFlags
	ID           int64   `arg:"" help:"The image's id."`
	Name         *string `help:"The new name." env:"-"`
	Description  *string `help:"The new description; empty clears it." env:"-"`
	Distribution string  `help:"The new distribution." env:"-"`
}

func (c *imageUpdateCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	params := gradient.GPUDropletImageUpdateParams{Distribution: gradient.ImageDistribution(c.Distribution)}
	if c.Name != nil {
		params.Name = gradient.String(*c.Name)
	}
	if c.Description != nil {
		params.Description = gradient.String(*c.Description)
	}
	answer, err := cl.GPUDroplets.Images.Update(ctx, c.ID, params)
	if err != nil {
		return err
	}
	return c.printImage(term, answer.Image)
}

type imageDeleteCmd struct {
	clientFlags
	ID []int64 `arg:"" help:"The images' ids."`
}

func (c *imageDeleteCmd) Run(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	for _, id := range c.ID {
		if err := cl.GPUDroplets.Images.Delete(ctx, id); err != nil {
			return fmt.Errorf("image %d: %w", id, err)
		}
	}
	return nil
}

type imageTransferCmd struct {
	clientFlags
	ID     int64  `arg:"" help:"The image's id."`
	Region string `arg:"" help:"The region's slug."`
	Wait   bool   `help:"Wait until the image is there." env:"-"`
}

func (c *imageTransferCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	action, err := cl.GPUDroplets.Images.Actions.New(ctx, c.ID, gradient.GPUDropletImageActionNewParams{
		OfImageActionTransfer: &gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{Region: gradient.RegionSlug(c.Region)},
	})
	for err == nil && c.Wait && action.Status == "in-progress" {
		select {
		case <-ctx.Done():
			return errors.New("not waited for; the transfer goes on")
		case <-time.After(500 * time.Millisecond):
		}
		action, err = cl.GPUDroplets.Images.Actions.Get(ctx, c.ID, action.ID)
	}
	if err != nil {
		return err
	}
	if action.Status == "errored" {
		return fmt.Errorf("the transfer failed (action %d); the operator sees why, by: ingot transfers", action.ID)
	}
	return c.print(term, raw(action), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "action %d: %s\n", action.ID, action.Status)
		return err
	})
}

type imageLinkCmd struct {
	clientFlags
	ID      int64  `arg:"" help:"The image's id."`
	Format  string `help:"raw or qcow2." enum:"raw,qcow2" default:"raw" env:"-"`
	Expires int64  `help:"Seconds until it expires." default:"3600" env:"-"`
}

func (c *imageLinkCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	link, err := cl.more.Links.New(ctx, c.ID, ingot.LinkNewParams{Format: ingot.FileFormat(c.Format), ExpiresIn: gradient.Int(c.Expires)})
	if err != nil {
		return err
	}
	return c.print(term, link, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, link.URL)
		return err
	})
}
