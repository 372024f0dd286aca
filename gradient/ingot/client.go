// Package ingot is a client of what Ingot adds to the images API: the progress of imports, the images themselves and
// their manifests, signed links, uploads, and the storage in use; and of the tags, regions and account beside the
// images, which are DigitalOcean's too. Options and errors are those of package gradient:
//
//	client := gradient.NewClient(option.WithAccessToken("…"))
//	more := ingot.NewClient(client.Options...)
//
// What streams (events, files, uploads) has no [option.WithRequestTimeout], but is begun anew, from where it stood,
// when nothing moves for a minute or the connection breaks.
package ingot

import (
	"slices"

	"ingot/gradient"
	"ingot/gradient/option"
)

// Client is a client of Ingot. Make one with [NewClient]; it is safe for use by several goroutines.
type Client struct {
	Options   []option.RequestOption
	Account   AccountService
	Files     FileService
	Imports   ImportService
	Links     LinkService
	Manifests ManifestService
	Regions   RegionService
	Tags      TagService
	Uploads   UploadService
	Usage     UsageService
}

// NewClient returns a client with the environment's options, see [gradient.DefaultClientOptions], and these, which win.
func NewClient(opts ...option.RequestOption) Client {
	opts = append(gradient.DefaultClientOptions(), opts...)
	return Client{
		opts, AccountService{opts}, FileService{opts}, ImportService{opts}, LinkService{opts}, ManifestService{opts},
		RegionService{opts}, TagService{opts}, UploadService{opts}, UsageService{opts},
	}
}

// merged puts the options of a request after those of its service.
func merged(service, request []option.RequestOption) []option.RequestOption {
	return slices.Concat(service, request)
}
