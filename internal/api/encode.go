package api

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ingot/internal/image"
)

const gibibyte = 1 << 30

// appendImage appends an image. Every key is always there, in the order of the reference.
func appendImage(b []byte, m *image.Image) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, m.ID, 10)
	b = append(b, `,"name":`...)
	b = appendString(b, m.Name)
	b = append(b, `,"type":`...)
	b = appendString(b, string(m.Type))
	b = append(b, `,"distribution":`...)
	b = appendString(b, m.Distribution)
	b = append(b, `,"slug":`...)
	b = appendStringOrNull(b, m.Slug)
	b = append(b, `,"public":`...)
	b = strconv.AppendBool(b, m.Public)
	b = append(b, `,"regions":`...)
	b = appendStrings(b, m.Regions)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, m.CreatedAt)
	b = appendSizes(b, m)
	b = append(b, `,"description":`...)
	b = appendString(b, m.Description)
	b = append(b, `,"tags":`...)
	b = appendStrings(b, m.Tags)
	b = append(b, `,"status":`...)
	b = appendString(b, string(m.Status))
	b = append(b, `,"error_message":`...)
	b = appendString(b, m.ErrorMessage)
	return append(b, '}')
}

// appendSizes appends the two sizes, which are not known before the import has finished. Both count in binary GB,
// as disks are sold by the API that Ingot stands in for.
func appendSizes(b []byte, m *image.Image) []byte {
	if m.Status != image.Available && m.Status != image.Retired {
		return append(b, `,"min_disk_size":null,"size_gigabytes":null`...)
	}
	b = append(b, `,"min_disk_size":`...)
	b = strconv.AppendInt(b, max(1, (m.GuestSize+gibibyte-1)/gibibyte), 10)
	b = append(b, `,"size_gigabytes":`...)
	return strconv.AppendFloat(b, math.Round(float64(m.DataSize)/gibibyte*100)/100, 'f', 2, 64)
}

// appendString appends s as JSON. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
		case c == '"', c == '\\', c < ' ', c == 0x7f:
			b = appendEscape(append(b, s[start:i]...), c)
			i++
			start = i
		default:
			i++
		}
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	if i := strings.IndexByte("\"\\\n\r\t", c); i >= 0 {
		return append(b, '\\', `"\nrt`[i])
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

func appendStringOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendTime appends a time in UTC, in whole seconds.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

func appendTimeOrNull(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return appendTime(b, t)
}
