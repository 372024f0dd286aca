package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/option"
)

// clientFlags say which service a command speaks to, and as whom.
type clientFlags struct {
	Service string `help:"The service's URL." default:"http://127.0.0.1:8080" env:"INGOT_URL" placeholder:"URL"`
	Token   string `help:"The token. Without it, the one that the first start left in the data directory." env:"INGOT_TOKEN"`
	Data    string `help:"The data directory whose token is used." default:"./ingot-data" type:"path"`
	Output  string `short:"o" help:"text or json." enum:"text,json" default:"text" env:"-"`
}

// client is the SDK, and what Ingot adds to it.
type client struct {
	gradient.Client
	more ingot.Client
}

func (f clientFlags) client() (*client, error) {
	token := f.Token
	if token == "" {
		b, err := os.ReadFile(filepath.Join(f.Data, "token"))
		if err != nil {
			return nil, usageError{errors.New("no token: give --token, set INGOT_TOKEN, or name the service's data directory with --data")}
		}
		token = string(b)
	}
	return newClient(f.Service, strings.TrimSpace(token)), nil
}

func newClient(url, token string) *client {
	c := gradient.NewClient(option.WithBaseURL(url), option.WithAccessToken(token))
	return &client{c, ingot.NewClient(c.Options...)}
}

// print writes a result: as JSON for scripts, else by the function for people.
func (f clientFlags) print(term terminal, value any, people func(io.Writer) error) error {
	if f.Output != "json" {
		return people(term.Out)
	}
	enc := json.NewEncoder(term.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// raw is JSON as the service sent it.
func raw(v interface{ RawJSON() string }) json.RawMessage { return json.RawMessage(v.RawJSON()) }

// imageByName takes an id or a public image's slug.
func imageByName(name string) gradient.GPUDropletImageGetParamsImageIDUnion {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		return gradient.GPUDropletImageGetParamsImageIDUnion{OfInt: gradient.Int(id)}
	}
	return gradient.GPUDropletImageGetParamsImageIDUnion{OfString: gradient.String(name)}
}

// follow shows the progress of an import until it has ended. An import that failed is an error with its reason. Who
// stops waiting stops nothing else.
func (c *client) follow(ctx context.Context, id int64, bar *bar) (*ingot.Import, error) {
	defer bar.close()
	report, err := c.more.Imports.Wait(ctx, id, func(i *ingot.Import) {
		bar.show(string(i.Phase), i.BytesRead, i.BytesExpected)
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("not waited for: the import of image %d goes on; ingot image delete %d ends it", id, id)
	}
	return report, err
}
