package ingot_test

import (
	"net/http"
	"testing"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

var disk = gradienttest.Disk

// real is the real service and clients of it.
type real struct {
	*gradienttest.Service
	client ingot.Client
	images gradient.GPUDropletImageService
}

func newReal(t testing.TB, opts ...option.RequestOption) real {
	s := gradienttest.New(t)
	opts = append(s.Options(), opts...)
	return real{s, ingot.NewClient(opts...), gradient.NewClient(opts...).GPUDroplets.Images}
}

// create begins an import and returns its image's id.
func (r real) create(t testing.TB) int64 {
	t.Helper()
	m, err := r.images.New(t.Context(), gradient.GPUDropletImageNewParams{
		Name: gradient.String("disk"), URL: gradient.String("https://example.com/disk"), Region: gradient.RegionSlugNyc3,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m.Image.ID
}

// available makes an image that holds the disk.
func (r real) available(t testing.TB) int64 {
	t.Helper()
	id := r.create(t)
	if err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return id
}

func newFaulty(t testing.TB, answers ...http.HandlerFunc) (*gradienttest.Faulty, ingot.Client) {
	f := gradienttest.NewFaulty(t, answers...)
	return f, ingot.NewClient(f.Options()...)
}
