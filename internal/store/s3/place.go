package s3

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// amazon is the endpoint where none is given; the bucket's region is found by itself.
const amazon = "https://s3.amazonaws.com"

// Place says where a store's bucket is.
type Place struct {
	bucket   string
	prefix   string // "" or with a slash at its end
	endpoint *url.URL
	region   string
	lookup   minio.BucketLookupType
}

// ParsePlace reads a store's URL: s3://BUCKET/PREFIX?endpoint=URL&region=REGION&addressing=path or host. All but the
// bucket may be left out.
func ParsePlace(raw string) (Place, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" {
		return Place{}, errors.New("not a store on S3: write s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION")
	}
	if u.User != nil {
		return Place{}, errors.New("a store's URL takes no credentials: it is kept and shown. " +
			"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a credentials file or a role")
	}
	p := Place{bucket: u.Host, prefix: strings.Trim(path.Clean("/"+u.Path), "/")}
	if p.bucket == "" || u.Port() != "" {
		return Place{}, fmt.Errorf("%q is no bucket: write s3://BUCKET/PREFIX, and the service's address behind it as ?endpoint=https://HOST:PORT", u.Host)
	}
	if err := s3utils.CheckValidBucketNameStrict(p.bucket); err != nil {
		return Place{}, fmt.Errorf("%q is no bucket: %w", p.bucket, err)
	}
	if p.prefix != "" {
		p.prefix += "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Place{}, fmt.Errorf("s3://%s: what follows the ? cannot be read: write it as endpoint=https://HOST&region=REGION", p.bucket)
	}
	return p, p.readOptions(query)
}

func (p *Place) readOptions(query url.Values) (err error) {
	endpoint := amazon
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case name == "endpoint":
			endpoint = value
		case name == "region":
			p.region = value
		case name == "addressing" && value == "path":
			p.lookup = minio.BucketLookupPath
		case name == "addressing" && value == "host":
			p.lookup = minio.BucketLookupDNS
		case name == "addressing":
			return fmt.Errorf("addressing=%s: it is path (https://HOST/BUCKET) or host (https://BUCKET.HOST)", value)
		default:
			return fmt.Errorf("a store on S3 has no option %q: there are endpoint, region and addressing", name)
		}
	}
	p.endpoint, err = url.Parse(endpoint)
	if err != nil || p.endpoint.Scheme != "http" && p.endpoint.Scheme != "https" || p.endpoint.Host == "" {
		return errors.New("the endpoint is no URL: write endpoint=https://HOST or endpoint=http://HOST:PORT")
	}
	if p.endpoint.User != nil || p.endpoint.RawQuery != "" || strings.Trim(p.endpoint.Path, "/") != "" {
		return errors.New("the endpoint is scheme, host and port alone: write endpoint=https://HOST")
	}
	p.endpoint = &url.URL{Scheme: p.endpoint.Scheme, Host: strings.ToLower(p.endpoint.Host)}
	return nil
}

// String returns the URL in the one way in which the catalogue knows the store by it.
func (p Place) String() string {
	query := url.Values{}
	if p.endpoint != nil && p.endpoint.String() != amazon {
		query.Set("endpoint", p.endpoint.String())
	}
	if p.region != "" {
		query.Set("region", p.region)
	}
	switch p.lookup {
	case minio.BucketLookupPath:
		query.Set("addressing", "path")
	case minio.BucketLookupDNS:
		query.Set("addressing", "host")
	}
	u := url.URL{Scheme: "s3", Host: p.bucket, Path: strings.TrimSuffix("/"+p.prefix, "/")}
	u.RawQuery = strings.NewReplacer("%3A", ":", "%2F", "/").Replace(query.Encode())
	return u.String()
}

// signingRegion returns the region that requests are signed for; "" lets the client ask for the bucket's.
func (p Place) signingRegion() string {
	for _, region := range []string{p.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")} {
		if region != "" {
			return region
		}
	}
	return ""
}
