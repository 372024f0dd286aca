package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ingot/internal/image"
)

// Imports knows how far imports are.
type Imports interface {
	// ImportProgress returns the progress of an image's import, or its report; image.ErrNotFound where the account
	// has no such image.
	ImportProgress(ctx context.Context, account, id int64) (image.Progress, error)
}

// getImport answers the progress of an import, or streams it to whoever accepts events.
func (a *API) getImport(c *call) error {
	id, err := c.imageID()
	if err != nil {
		return err
	}
	p, err := a.catalog.ImportProgress(c.ctx(), c.token.AccountID, id)
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodGet && strings.Contains(c.r.Header.Get("Accept"), "text/event-stream") {
		return a.streamImport(c, id, p)
	}
	b := appendProgress(append(c.buffer(), `{"import":`...), id, &p)
	return c.json(http.StatusOK, append(b, '}'))
}

// phases are in the order in which an import passes them.
var phases = []image.Phase{image.PhaseQueued, image.PhaseConnecting, image.PhaseFetching, image.PhaseFinishing}

// appendProgress appends the report of an import. Every key is always there; what is not known yet is null.
func appendProgress(b []byte, id int64, p *image.Progress) []byte {
	b = append(b, `{"image_id":`...)
	b = strconv.AppendInt(b, id, 10)
	b = append(b, `,"phase":`...)
	b = appendString(b, string(p.Phase))
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(p.Attempt), 10)
	b = appendCounts(b, p)
	b = append(b, `,"bytes_per_second":`...)
	b = appendRate(b, p)
	b = append(b, `,"seconds_per_phase":`...)
	b = appendSeconds(b, p.Seconds)
	for _, f := range []struct{ key, value string }{
		{"format", p.Format}, {"compression", p.Compression},
		{"source_sha256", p.SourceSHA256}, {"content_digest", p.ContentDigest},
	} {
		b = append(append(append(b, `,"`...), f.key...), `":`...)
		b = appendStringOrNull(b, f.value)
	}
	b = append(b, `,"error":`...)
	b = appendImportError(b, p)
	for _, f := range []struct {
		key   string
		value time.Time
	}{{"started_at", p.StartedAt}, {"updated_at", p.UpdatedAt}, {"finished_at", p.FinishedAt}} {
		b = append(append(append(b, `,"`...), f.key...), `":`...)
		b = appendTimeOrNull(b, f.value)
	}
	return append(b, '}')
}

func appendCounts(b []byte, p *image.Progress) []byte {
	for _, f := range []struct {
		key     string
		value   int64
		unknown bool
	}{
		{"bytes_read", p.BytesRead, false},
		{"bytes_expected", p.BytesExpected, p.BytesExpected == 0},
		{"guest_bytes", p.GuestBytes, false},
		{"guest_size", p.GuestSize, p.GuestSize == 0},
		{"data_bytes", p.DataBytes, false},
		{"stored_bytes", p.StoredBytes, false},
		{"shared_bytes", p.SharedBytes, false},
	} {
		b = append(append(append(b, `,"`...), f.key...), `":`...)
		if f.unknown {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, f.value, 10)
		}
	}
	return b
}

// appendRate appends the mean rate at which the source was read, which is what fetching does.
func appendRate(b []byte, p *image.Progress) []byte {
	seconds := p.Seconds[image.PhaseFetching]
	if seconds <= 0 {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(float64(p.BytesRead)/seconds), 10)
}

func appendSeconds(b []byte, seconds map[image.Phase]float64) []byte {
	b = append(b, '{')
	for _, phase := range phases {
		s, ok := seconds[phase]
		if !ok {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendString(b, string(phase))
		b = strconv.AppendFloat(append(b, ':'), s, 'f', 3, 64)
	}
	return append(b, '}')
}

func appendImportError(b []byte, p *image.Progress) []byte {
	if p.ErrorCode == "" && p.ErrorMessage == "" {
		return append(b, "null"...)
	}
	b = append(b, `{"code":`...)
	b = appendString(b, p.ErrorCode)
	b = append(b, `,"message":`...)
	b = appendString(b, p.ErrorMessage)
	return append(b, '}')
}
