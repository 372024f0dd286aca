package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/gradient/ingot"
	"ingot/internal/export"
)

type demoCmd struct {
	Keep bool `help:"Leave the service running, with its data, until it is told to stop."`
}

// Run does the main job through the real service and the real API, and says what it does.
func (c *demoCmd) Run(ctx context.Context, term terminal) (err error) {
	dir, err := os.MkdirTemp("", "ingot-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(term.Err, "ingot: left behind:", err)
		}
	}()
	say := func(format string, args ...any) { fmt.Fprintf(term.Out, format+"\n", args...) }

	say("1. A disk of %s (%s of data, the rest holes), as a gzip-compressed qcow2 file", sizeText(demoSize), sizeText(demoData()))
	file := filepath.Join(dir, "disk.qcow2.gz")
	size, err := writeDemoFile(ctx, file)
	if err != nil {
		return err
	}
	web, err := serveFile(file)
	if err != nil {
		return err
	}
	defer web.Close()
	say("   %s, served at %s/disk.qcow2.gz", sizeText(size), web.url)

	d, err := startDemo(ctx, filepath.Join(dir, "data"), web.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	say("2. The service, on embedded defaults: %s", d.url)
	if err := d.importAndCompare(ctx, term, web.url+"/disk.qcow2.gz", say); err != nil {
		return err
	}
	if c.Keep {
		return d.stay(ctx, term)
	}
	say("\nThe same for yourself:\n\n  ingot serve &\n  curl -H \"Authorization: Bearer $(cat ingot-data/token)\" http://127.0.0.1:8080/v2/images \\\n" +
		"    -d '{\"name\":\"debian\",\"region\":\"nyc3\",\"url\":\"https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2\"}'")
	return nil
}

// demo is the running service and a client of it.
type demo struct {
	service *service
	client  *client
	url     string
	cancel  context.CancelFunc
	ended   chan error
	data    string
}

func startDemo(ctx context.Context, data, allow string) (*demo, error) {
	cmd := &serveCmd{
		dataFlags: dataFlags{Data: data}, Listen: "127.0.0.1:0", Store: "file:store", Roles: []string{"api", "worker"}, Workers: 2,
		AllowSource: []string{allow}, MaxImageSize: 100e9,
	}
	ctx, cancel := context.WithCancel(ctx)
	s, err := openService(ctx, cmd, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		return nil, err
	}
	d := &demo{service: s, cancel: cancel, ended: make(chan error, 1), data: data}
	go func() { d.ended <- s.run(ctx) }()
	token, err := os.ReadFile(filepath.Join(data, "token"))
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	d.url = s.url()
	d.client = newClient(d.url, strings.TrimSpace(string(token)))
	return d, nil
}

func (d *demo) stop() error {
	d.cancel()
	return <-d.ended
}

// stay leaves the service running until a signal, and says how to reach it.
func (d *demo) stay(ctx context.Context, term terminal) error {
	fmt.Fprintf(term.Out, "\nThe service goes on until you press Ctrl-C:\n\n  export INGOT_URL=%s INGOT_TOKEN=$(cat %s)\n  curl -H \"Authorization: Bearer $INGOT_TOKEN\" $INGOT_URL/v2/images\n",
		d.url, filepath.Join(d.data, "token"))
	<-ctx.Done()
	return nil
}

func (d *demo) importAndCompare(ctx context.Context, term terminal, source string, say func(string, ...any)) error {
	begun := time.Now()
	create := imageCreateCmd{Region: "nyc3"}
	m, err := create.create(ctx, d.client, "demo", source)
	if err != nil {
		return err
	}
	say("3. POST /v2/images: accepted as image %d", m.ID)
	report, err := d.client.follow(ctx, m.ID, newBar(term))
	if err != nil {
		return err
	}
	say("   available after %s: %s read, a disk of %s with %s of data, stored in %s",
		time.Since(begun).Round(10*time.Millisecond), sizeText(report.BytesRead), sizeText(report.GuestSize),
		sizeText(report.DataBytes), sizeText(report.StoredBytes))
	if err := d.compare(ctx, m.ID); err != nil {
		return err
	}
	say("4. GET /v2/images/%d/file?format=raw: all %s read back and equal", m.ID, sizeText(demoSize))

	if m, err = create.create(ctx, d.client, "demo again", source); err != nil {
		return err
	}
	if report, err = d.client.follow(ctx, m.ID, newBar(term)); err != nil {
		return err
	}
	say("5. The same image once more, as image %d: %s more stored", m.ID, sizeText(report.StoredBytes))
	return nil
}

// compare reads an image back as raw and compares every byte with what it was made of.
func (d *demo) compare(ctx context.Context, id int64) error {
	file, err := d.client.more.Files.Open(ctx, id, ingot.FileOpenParams{Format: ingot.FileFormatRaw})
	if err != nil {
		return err
	}
	if file.Size() != demoSize {
		return fmt.Errorf("the image read back has %d bytes in place of %d", file.Size(), int64(demoSize))
	}
	r := file.NewReader(0)
	defer r.Close()
	got, want := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < demoSize; off += int64(len(got)) {
		if _, err := io.ReadFull(r, got); err != nil {
			return err
		}
		if _, err := (demoDisk{}).ReadAt(want, off); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("the image read back differs in the megabyte at %d", off)
		}
	}
	return nil
}

// demoData is how much of the demo's disk is data.
func demoData() (n int64) {
	for off := int64(0); ; {
		start, end, err := (demoDisk{}).NextData(off)
		if err != nil {
			return n
		}
		n += end - start
		off = end
	}
}

// writeDemoFile writes the demo's disk as a gzip-compressed qcow2 file and returns its size.
func writeDemoFile(ctx context.Context, path string) (int64, error) {
	disk, err := export.New().File(demoDisk{}, "demo", export.QCOW2)
	if err != nil {
		return 0, err
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	if err := disk.WriteRange(ctx, zip, 0, disk.Size()); err != nil {
		return 0, err
	}
	if err := zip.Close(); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekCurrent)
}

// fileServer serves one file on loopback, as somebody's web server would.
type fileServer struct {
	*http.Server
	address, url string
}

func serveFile(path string) (*fileServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+filepath.Base(path), func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	s := &fileServer{&http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}, l.Addr().String(), "http://" + l.Addr().String()}
	go s.Serve(l)
	return s, nil
}
