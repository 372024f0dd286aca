package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"ingot/gradient/ingot"
)

type tagCmd struct {
	Create tagCreateCmd `cmd:"" help:"Make a tag."`
	List   tagListCmd   `cmd:"" help:"List the tags, with how many images have each."`
	Delete tagDeleteCmd `cmd:"" help:"Delete a tag; it is taken off its images."`
	Add    tagAddCmd    `cmd:"" help:"Put a tag on images."`
	Remove tagRemoveCmd `cmd:"" help:"Take a tag off images."`
}

type tagCreateCmd struct {
	clientFlags
	Name string `arg:"" help:"Letters, digits, _, - and :"`
}

func (c *tagCreateCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	tag, err := cl.more.Tags.New(ctx, c.Name)
	if err != nil {
		return err
	}
	return c.print(term, tag, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, tag.Name)
		return err
	})
}

type tagListCmd struct{ clientFlags }

func (c *tagListCmd) Run(ctx context.Context, term terminal) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	tags := []ingot.Tag{}
	pager := cl.more.Tags.ListAutoPaging(ctx)
	for pager.Next() {
		tags = append(tags, pager.Current())
	}
	if err := pager.Err(); err != nil {
		return err
	}
	return c.print(term, tags, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tIMAGES")
		for _, tag := range tags {
			fmt.Fprintf(t, "%s\t%d\n", tag.Name, tag.Resources.Images.Count)
		}
		return t.Flush()
	})
}

type tagDeleteCmd struct {
	clientFlags
	Name string `arg:"" help:"The tag."`
}

func (c *tagDeleteCmd) Run(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	return cl.more.Tags.Delete(ctx, c.Name)
}

type taggingArgs struct {
	clientFlags
	Name   string  `arg:"" help:"The tag."`
	Images []int64 `arg:"" help:"The images' ids."`
}

type tagAddCmd struct{ taggingArgs }

func (c *tagAddCmd) Run(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	return cl.more.Tags.TagImages(ctx, c.Name, c.Images)
}

type tagRemoveCmd struct{ taggingArgs }

func (c *tagRemoveCmd) Run(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	return cl.more.Tags.UntagImages(ctx, c.Name, c.Images)
}
