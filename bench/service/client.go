package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// Client asks a service over the wire.
type Client struct{ Base, Token string }

// Import is what the service tells of one.
type Import struct {
	Phase       string
	Digest      string `json:"content_digest"`
	StoredBytes int64  `json:"stored_bytes"`
	SharedBytes int64  `json:"shared_bytes"`
	DataBytes   int64  `json:"data_bytes"`
	Error       *struct{ Message string }
}

func (c *Client) ready(ctx context.Context, tokenFile string) error {
	for begun := time.Now(); time.Since(begun) < 30*time.Second && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(c.Base + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			token, err := os.ReadFile(tokenFile)
			c.Token = strings.TrimSpace(string(token))
			return err
		}
	}
	return errors.Join(errors.New("the service is not ready after 30 s"), ctx.Err())
}

// Create posts an image and returns its number.
func (c *Client) Create(ctx context.Context, url string) (id int64, err error) {
	body, err := json.Marshal(map[string]string{"name": "bench", "region": "nyc3", "url": url})
	if err != nil {
		return 0, err
	}
	var created struct{ Image struct{ ID int64 } }
	err = c.do(ctx, http.MethodPost, "/v2/images", body, &created)
	return created.Image.ID, err
}

// Wait waits until an image is available.
func (c *Client) Wait(ctx context.Context, id int64) (Import, error) {
	for {
		var answer struct{ Import Import }
		if err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v2/images/%d/import", id), nil, &answer); err != nil {
			return Import{}, err
		}
		switch answer.Import.Phase {
		case "done":
			return answer.Import, nil
		case "failed":
			return Import{}, errors.New(answer.Import.Error.Message)
		}
		select {
		case <-ctx.Done():
			return Import{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Import imports an image, from POST to available.
func (c *Client) Import(ctx context.Context, url string) (id int64, done Import, err error) {
	if id, err = c.Create(ctx, url); err == nil {
		done, err = c.Wait(ctx, id)
	}
	return id, done, err
}

// Link makes a URL of an image's file that needs no token.
func (c *Client) Link(ctx context.Context, id int64, format string) (string, error) {
	var answer struct{ Link struct{ URL string } }
	err := c.do(ctx, http.MethodPost, fmt.Sprintf("/v2/images/%d/links", id), fmt.Appendf(nil, `{"format":%q,"expires_in":36000}`, format), &answer)
	return answer.Link.URL, err
}

// Delete deletes an image.
func (c *Client) Delete(ctx context.Context, id int64) error {
	return c.do(ctx, http.MethodDelete, fmt.Sprintf("/v2/images/%d", id), nil, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		return errors.Join(fmt.Errorf("%s %s: %s %.300s", method, path, resp.Status, text), err)
	}
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(text, into)
}
