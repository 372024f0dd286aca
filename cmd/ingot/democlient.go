package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// demoClient speaks to the API as any client does.
type demoClient struct {
	url, token string
}

func newDemoClient(url, token string) *demoClient {
	return &demoClient{url: url, token: strings.TrimSpace(token)}
}

// importReport is what the demo wants of GET /v2/images/{id}/import.
type importReport struct {
	Phase         string `json:"phase"`
	BytesRead     int64  `json:"bytes_read"`
	BytesExpected int64  `json:"bytes_expected"`
	GuestSize     int64  `json:"guest_size"`
	DataBytes     int64  `json:"data_bytes"`
	StoredBytes   int64  `json:"stored_bytes"`
	Error         *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func (c *demoClient) create(ctx context.Context, name, source string) (int64, error) {
	body, err := json.Marshal(map[string]string{"name": name, "url": source, "region": "nyc3", "distribution": "Debian"})
	if err != nil {
		return 0, err
	}
	var answer struct {
		Image struct {
			ID int64 `json:"id"`
		} `json:"image"`
	}
	return answer.Image.ID, c.do(ctx, http.MethodPost, "/v2/images", body, &answer)
}

// watch shows the progress of an import and returns its report when the image is available.
func (c *demoClient) watch(ctx context.Context, id int64, bar *bar) (importReport, error) {
	defer bar.close()
	for {
		var answer struct {
			Import importReport `json:"import"`
		}
		if err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v2/images/%d/import", id), nil, &answer); err != nil {
			return importReport{}, err
		}
		report := answer.Import
		bar.show(report)
		switch {
		case report.Phase == "done":
			return report, nil
		case report.Error != nil && report.Phase == "failed":
			return report, errors.New(report.Error.Message)
		}
		select {
		case <-ctx.Done():
			return report, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// compare reads an image back as raw and compares every byte with what it was made of.
func (c *demoClient) compare(ctx context.Context, id int64, want io.ReaderAt) (int64, error) {
	resp, err := c.send(ctx, http.MethodGet, fmt.Sprintf("/v2/images/%d/file?format=raw", id), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	got, expect := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; {
		n, err := io.ReadFull(resp.Body, got)
		if m, _ := want.ReadAt(expect[:n], off); m < n || !bytes.Equal(got[:n], expect[:n]) {
			return off, fmt.Errorf("the image read back differs in the megabyte at %d", off)
		}
		off += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			if off != demoSize {
				return off, fmt.Errorf("the image read back has %d bytes in place of %d", off, int64(demoSize))
			}
			return off, nil
		}
		if err != nil {
			return off, err
		}
	}
}

func (c *demoClient) do(ctx context.Context, method, path string, body []byte, into any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// send returns an answer of success; any other is an error with its text.
func (c *demoClient) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, errors.Join(fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text), err)
	}
	return resp, nil
}

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
}

func newBar(term terminal) *bar {
	out, ok := term.Err.(interface{ Fd() uintptr })
	if !ok {
		return &bar{}
	}
	if _, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ); err != nil {
		return &bar{}
	}
	p := mpb.New(mpb.WithOutput(term.Err), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	b := p.AddBar(0,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name("   import ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f of % .1f"), decor.Name("  "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f")))
	return &bar{p, b}
}

func (b *bar) show(r importReport) {
	if b.bar == nil {
		return
	}
	b.bar.SetTotal(max(r.BytesExpected, r.BytesRead), false)
	b.bar.SetCurrent(r.BytesRead)
}

func (b *bar) close() {
	if b.bar != nil {
		b.bar.Abort(true)
		b.progress.Wait()
	}
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
