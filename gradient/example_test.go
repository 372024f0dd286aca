package gradient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"ingot/gradient"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

// exampleService is a service for the examples: instead of it, name your own, or none for DigitalOcean.
func exampleService(images int) (opts []option.RequestOption, end func()) {
	dir, err := os.MkdirTemp("", "gradient-example-")
	if err != nil {
		panic(err)
	}
	s, err := gradienttest.Start(context.Background(), dir)
	if err != nil {
		panic(err)
	}
	client := gradient.NewClient(s.Options()...)
	for i := range images {
		_, err := client.GPUDroplets.Images.New(context.Background(), gradient.GPUDropletImageNewParams{
			Name: gradient.String(fmt.Sprint("disk ", i+1)), URL: gradient.String("https://example.com/disk"), Region: gradient.RegionSlugNyc3,
		})
		if err == nil {
			err = s.Finish(context.Background())
		}
		if err != nil {
			panic(err)
		}
	}
	return s.Options(), func() {
		s.Close()
		os.RemoveAll(dir)
	}
}

func Example() {
	opts, end := exampleService(0)
	defer end()

	client := gradient.NewClient(opts...) // for example option.WithBaseURL("http://127.0.0.1:8080"), option.WithAccessToken("…")
	res, err := client.GPUDroplets.Images.New(context.TODO(), gradient.GPUDropletImageNewParams{
		Name:         gradient.String("debian-12"),
		URL:          gradient.String("https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"),
		Region:       gradient.RegionSlugNyc3,
		Distribution: gradient.ImageDistributionDebian,
		Tags:         []string{"base"},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Image.ID, res.Image.Name, res.Image.Status)
	// Output: 1 debian-12 NEW
}

func ExampleGPUDropletImageService_Get() {
	opts, end := exampleService(1)
	defer end()

	client := gradient.NewClient(opts...)
	res, err := client.GPUDroplets.Images.Get(context.TODO(), gradient.GPUDropletImageGetParamsImageIDUnion{OfInt: gradient.Int(1)})
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Image.Name, res.Image.Status, res.Image.Regions, res.Image.MinDiskSize)

	_, err = client.GPUDroplets.Images.Get(context.TODO(), gradient.GPUDropletImageGetParamsImageIDUnion{OfString: gradient.String("ubuntu-24-04-x64")})
	var e *gradient.Error
	if errors.As(err, &e) {
		fmt.Println(e.StatusCode, e.ID, e.Message)
	}
	// Output:
	// disk 1 available [nyc3] 1
	// 404 not_found The resource you were accessing could not be found.
}

func ExampleGPUDropletImageService_ListAutoPaging() {
	opts, end := exampleService(3)
	defer end()

	client := gradient.NewClient(opts...)
	query := gradient.GPUDropletImageListParams{Private: gradient.Bool(true), PerPage: gradient.Int(2)}
	for image, err := range client.GPUDroplets.Images.ListAutoPaging(context.TODO(), query).All() {
		if err != nil {
			panic(err)
		}
		fmt.Println(image.ID, image.Name)
	}
	// Output:
	// 1 disk 1
	// 2 disk 2
	// 3 disk 3
}

func ExampleGPUDropletImageService_List() {
	opts, end := exampleService(3)
	defer end()

	client := gradient.NewClient(opts...)
	page, err := client.GPUDroplets.Images.List(context.TODO(), gradient.GPUDropletImageListParams{PerPage: gradient.Int(2)})
	for page != nil {
		fmt.Println(len(page.Images), "of", page.Meta.Total)
		page, err = page.GetNextPage()
	}
	if err != nil {
		panic(err)
	}
	// Output:
	// 2 of 3
	// 1 of 3
}

func ExampleGPUDropletImageService_Update() {
	opts, end := exampleService(1)
	defer end()

	client := gradient.NewClient(opts...)
	res, err := client.GPUDroplets.Images.Update(context.TODO(), 1, gradient.GPUDropletImageUpdateParams{
		Name: gradient.String("renamed"), // what is not set stays as it is
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(res.Image.Name, res.Image.Status)
	// Output: renamed available
}

func ExampleGPUDropletImageService_Delete() {
	opts, end := exampleService(1)
	defer end()

	client := gradient.NewClient(opts...)
	fmt.Println(client.GPUDroplets.Images.Delete(context.TODO(), 1))
	// Output: <nil>
}

func ExampleGPUDropletImageActionService_New() {
	opts, end := exampleService(1)
	defer end()

	client := gradient.NewClient(opts...)
	action, err := client.GPUDroplets.Images.Actions.New(context.TODO(), 1, gradient.GPUDropletImageActionNewParams{
		OfImageActionTransfer: &gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{Region: gradient.RegionSlugFra1},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(action.Type, action.ResourceID, action.RegionSlug)
	// Output: transfer 1 fra1
}

// Options of a request win over those of the client. Middleware sees every attempt.
func ExampleClient() {
	opts, end := exampleService(1)
	defer end()

	attempts := 0
	client := gradient.NewClient(append(opts,
		option.WithMaxRetries(4),
		option.WithRequestTimeout(20*time.Second),
		option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			attempts++
			return next(r)
		}))...)
	var raw *http.Response
	res, err := client.GPUDroplets.Images.Get(context.TODO(), gradient.GPUDropletImageGetParamsImageIDUnion{OfInt: gradient.Int(1)},
		option.WithMaxRetries(0), option.WithResponseInto(&raw))
	if err != nil {
		panic(err)
	}
	fmt.Println(attempts, raw.StatusCode, res.Image.JSON.Slug.Raw(), res.Image.JSON.ID.Valid())
	// Output: 1 200 null true
}
