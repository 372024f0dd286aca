package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"ingot/internal/image"
	"ingot/internal/source"
)

type serveCmd struct {
	dataFlags
	Listen       string            `help:"The address to listen on." default:"127.0.0.1:8080"`
	Store        string            `help:"Where content is kept: file:DIR, in the data directory unless absolute, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION." default:"file:store"`
	Region       map[string]string `help:"A region and its store, for example nyc3=file:/srv/nyc3; repeatable. Without it, DigitalOcean's 15 regions on the one store." placeholder:"SLUG=STORE" mapsep:"none"`
	Roles        []string          `help:"What this process does: api, worker." default:"api,worker" enum:"api,worker"`
	Uploads      string            `help:"The folder that files of clients are uploaded to, which all processes share, or none. Without it, uploads in the data directory." placeholder:"DIR"`
	NoMigrate    bool              `help:"Do not bring the database's schema up to date; ingot migrate does."`
	Reconfigure  bool              `help:"Regions, stores or the folder of uploads may differ from what they were; uploads in a former folder are given up. The other processes must be stopped."`
	Workers      int               `help:"Imports that run at once." default:"2"`
	Transfers    int               `help:"Transfers of images to other stores that run at once." default:"2"`
	Settle       bool              `help:"While no import runs, compress well what imports have compressed lightly." default:"true" negatable:""`
	AllowSource  []string          `help:"A source that may be read although it is not public: an address, a block (10.0.0.0/8) or a host name, each with an optional port; repeatable." placeholder:"SOURCE"`
	SourceCA     string            `help:"A PEM file of certificate authorities that sources are trusted by, beside the system's." placeholder:"FILE" name:"source-ca"`
	SourceProxy  string            `help:"A proxy that sources are read through." placeholder:"URL"`
	PublicURL    string            `help:"The service's own URL in links, for example https://images.example.org. Without it, what the request's Host header says."`
	RateLimit    bool              `help:"Allow each token 5,000 requests an hour and 250 a minute, as DigitalOcean does. Each process counts for itself."`
	TLSCert      string            `help:"The certificate, a PEM file. With --tls-key the service speaks HTTPS." placeholder:"FILE" name:"tls-cert"`
	TLSKey       string            `help:"The certificate's key, a PEM file." placeholder:"FILE" name:"tls-key"`
	MaxImageSize byteSize          `help:"An image must be smaller than this, decompressed and as a guest sees it." default:"100GB"`
	LogFormat    string            `help:"text or json." default:"text" enum:"text,json"`
}

// Run runs the service until it is told to stop.
func (c *serveCmd) Run(ctx context.Context, term terminal) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	s, err := openService(ctx, c, newLogger(term.Err, c.LogFormat))
	if err != nil {
		return err
	}
	return s.run(ctx)
}

func (c *serveCmd) check() error {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case c.Workers < 1:
		return fmt.Errorf("--workers %d: at least 1; a process that runs no imports has --roles api", c.Workers)
	case c.Transfers < 1:
		return fmt.Errorf("--transfers %d: at least 1", c.Transfers)
	case c.MaxImageSize < 1 || c.MaxImageSize > image.MaxSize:
		return fmt.Errorf("--max-image-size: between 1 byte and 100GB, as in DigitalOcean's API")
	}
	return nil
}

// storeURLs returns the store of every region.
func (c *serveCmd) storeURLs() map[string]string {
	if len(c.Region) > 0 {
		return c.Region
	}
	urls := map[string]string{}
	for _, r := range image.DefaultRegions() {
		urls[r.Slug] = c.Store
	}
	return urls
}

// uploadsFolder returns where uploads are kept; "" for nowhere.
func (c *serveCmd) uploadsFolder() string {
	switch c.Uploads {
	case "":
		return filepath.Join(c.Data, "uploads")
	case "none":
		return ""
	}
	return kong.ExpandPath(c.Uploads) // as --data is; none is no path, so that kong cannot do it
}

func (c *serveCmd) sourceOptions() (source.Options, error) {
	opt := source.Options{UserAgent: "ingot/" + version(), Proxy: c.SourceProxy}
	for _, entry := range c.AllowSource {
		allow, err := source.ParseAllow(entry)
		if err != nil {
			return opt, usageError{fmt.Errorf("--allow-source %s: %w", entry, err)}
		}
		opt.Allow = append(opt.Allow, allow)
	}
	if c.SourceCA != "" {
		pem, err := os.ReadFile(c.SourceCA)
		if err != nil {
			return opt, fmt.Errorf("--source-ca: %w", err)
		}
		opt.CA = pem
	}
	return opt, nil
}

// byteSize is a number of bytes on the command line: 100GB, 64MiB, 1000000.
type byteSize int64

var byteUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler, by which kong reads the flag.
func (b *byteSize) UnmarshalText(text []byte) error {
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(n >= 0 && n*u.bytes <= 1<<62) {
			return fmt.Errorf("%q is no size: write 100GB, 64MiB or a number of bytes", text)
		}
		*b = byteSize(n * u.bytes)
		return nil
	}
	return nil
}
