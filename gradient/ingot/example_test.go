package ingot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/internal/gradienttest"
)

// exampleService is a service for the examples, with an image that is being imported or is there.
func exampleService(finished bool) (s *gradienttest.Service, end func()) {
	dir, err := os.MkdirTemp("", "ingot-example-")
	if err != nil {
		panic(err)
	}
	if s, err = gradienttest.Start(context.Background(), dir); err != nil {
		panic(err)
	}
	client := gradient.NewClient(s.Options()...)
	_, err = client.GPUDroplets.Images.New(context.Background(), gradient.GPUDropletImageNewParams{
		Name: gradient.String("disk"), URL: gradient.String("https://example.com/disk"), Region: gradient.RegionSlugNyc3,
	})
	if err == nil && finished {
		err = s.Finish(context.Background())
	}
	if err != nil {
		panic(err)
	}
	return s, func() {
		s.Close()
		os.RemoveAll(dir)
	}
}

func ExampleImportService_Wait() {
	service, end := exampleService(false)
	defer end()

	client := ingot.NewClient(service.Options()...)
	report, err := client.Imports.Wait(context.TODO(), 1, func(p *ingot.Import) {
		fmt.Println(p.Phase, p.BytesRead)
		if p.Phase == ingot.ImportPhaseQueued {
			_ = service.Finish(context.TODO()) // what a worker would do
		}
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(report.ContentDigest))
	// Output:
	// queued 0
	// done 1000
	// 64
}

func ExampleFileService_Open() {
	service, end := exampleService(true)
	defer end()

	client := ingot.NewClient(service.Options()...)
	file, err := client.Files.Open(context.TODO(), 1, ingot.FileOpenParams{Format: ingot.FileFormatRaw})
	if err != nil {
		panic(err)
	}
	var disk bytes.Buffer
	body := file.NewReader(0) // or from where an earlier download stopped
	defer body.Close()
	if _, err := io.Copy(&disk, body); err != nil {
		panic(err)
	}
	fmt.Println(disk.Len() == int(file.Size()))
	// Output: true
}

func ExampleLinkService_New() {
	service, end := exampleService(true)
	defer end()

	client := ingot.NewClient(service.Options()...)
	link, err := client.Links.New(context.TODO(), 1, ingot.LinkNewParams{Format: ingot.FileFormatQCOW2, ExpiresIn: gradient.Int(3600)})
	if err != nil {
		panic(err)
	}
	_ = link.URL // for qemu-img, or any tool that cannot send a token
	// Output:
}

// The form of an upload: it needs a service that takes uploads.
func ExampleUploadService_Upload() {
	ctx := context.TODO()
	client := ingot.NewClient() // by DIGITALOCEAN_ACCESS_TOKEN and GRADIENT_BASE_URL
	file, err := os.Open("disk.qcow2")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		panic(err)
	}
	upload, err := client.Uploads.Upload(ctx, file, ingot.UploadNewParams{Size: info.Size()}, func(sent int64) {
		fmt.Printf("\r%d of %d", sent, info.Size())
	})
	if err != nil {
		panic(err) // client.Uploads.Resume goes on with upload.ID
	}
	images := gradient.NewClient(client.Options...).GPUDroplets.Images
	_, err = images.New(ctx, gradient.GPUDropletImageNewParams{
		Name: gradient.String("disk"), URL: gradient.String(upload.ImageURL()), Region: gradient.RegionSlugNyc3,
	})
	if err != nil {
		panic(err)
	}
}
