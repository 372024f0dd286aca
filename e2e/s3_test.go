package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/store/s3/s3test"
)

// withCredentials lets the binary use a bucket.
func withCredentials(t *testing.T, access, secret string) {
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
}

// The main job on a bucket: import, read, share, delete, sweep; at the end the bucket is empty.
func TestStoreInABucket(t *testing.T) {
	withCredentials(t, s3test.Access, s3test.Secret)
	server := s3test.Start(t)
	bucket, other := server.Bucket(t, "images"), server.Bucket(t, "images-ams3")
	disk := rawDisk(48<<20, 21)
	o := newOrigin(t, map[string][]byte{"disk.raw.gz": gzipped(t, disk)})
	args := []string{"--allow-source", o.allow(), "--region", "nyc3=" + server.URL(bucket, "ingot"), "--region", "ams3=" + server.URL(other, "")}
	data := t.TempDir()
	s := start(t, data, args...)

	first := s.create("one", o.URL+"/disk.raw.gz")
	if m := s.settled(first); m.Status != "available" {
		t.Fatalf("image: %+v\n%s", m, s.Log)
	}
	if !bytes.Equal(s.content(first), disk) {
		t.Fatal("the image read back differs from the disk imported")
	}
	wantQCOW2(t, s, first, disk)
	_, held := server.Keys(t, bucket)
	if held == 0 || bytesUnder(t, filepath.Join(data, "store")) != 0 {
		t.Errorf("the bucket holds %d bytes, the data directory %d", held, bytesUnder(t, filepath.Join(data, "store")))
	}

	// A restart knows the store again, however its URL is written.
	s.Terminate()
	args[3] = "nyc3=s3://" + bucket + "/ingot/?region=" + s3test.Region + "&endpoint=" + server.Endpoint
	s = start(t, data, args...)
	second := s.create("two", o.URL+"/disk.raw.gz")
	if m := s.settled(second); m.Status != "available" {
		t.Fatalf("image: %+v\n%s", m, s.Log)
	}
	if _, now := server.Keys(t, bucket); now > held+held/50 {
		t.Errorf("the same disk once more takes %d bytes beside %d", now-held, held)
	}
	s.delete(first)
	if !bytes.Equal(s.content(second), disk) {
		t.Fatal("deleting one image spoiled another one of the same content")
	}
	s.delete(second)
	ingot(t, "gc", "--data", data)
	s.Eventually("the bucket is empty", func() bool {
		_, held := server.Keys(t, bucket)
		return held == 0 // what is left are marks, which are empty
	})
	if keys, held := server.Keys(t, other); held != 0 {
		t.Errorf("the other region's bucket holds %q", keys)
	}
	if left := server.Uploads(t, bucket); len(left) != 0 {
		t.Errorf("uploads left: %q", left)
	}
	if log := s.Log.String(); strings.Contains(log, s3test.Secret) || strings.Contains(log, s3test.Access) {
		t.Errorf("the log names credentials:\n%s", log)
	}
}

// wantQCOW2 reads an image as qcow2 and compares what QEMU makes of it.
func wantQCOW2(t *testing.T, s *service, id int64, disk []byte) {
	t.Helper()
	dir := t.TempDir()
	qcow2, raw := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "disk.raw")
	f, err := os.Create(qcow2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/v2/images/%d/file?format=qcow2", s.URL, id), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(f, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("read as qcow2: %d %v", resp.StatusCode, err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", qcow2, raw).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(raw); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("the qcow2 file holds another disk (%v)", err)
	}
}

// A worker that is killed in the middle of uploads leaves parts in the bucket. They go, with the image.
func TestUploadsOfAKilledWorkerAreAborted(t *testing.T) {
	withCredentials(t, s3test.Access, s3test.Secret)
	server := s3test.Start(t)
	bucket := server.Bucket(t, "killed")
	disk := rawDisk(96<<20, 22)
	o, goOn := haltingOrigin(t, disk, 64<<20)
	data := t.TempDir()
	args := []string{"--allow-source", strings.TrimPrefix(o, "http://"), "--store", server.URL(bucket, "")}
	s := start(t, data, args...)
	id := s.create("one", o+"/disk.raw")
	s.Eventually("an upload is under way", func() bool { return len(server.Uploads(t, bucket)) > 0 })
	s.Kill()
	if left := server.Uploads(t, bucket); len(left) == 0 {
		t.Fatal("the killed service left no upload: the test shows nothing")
	}
	close(goOn)
	s = start(t, data, args...)
	if m := s.settled(id); m.Status != "available" || !bytes.Equal(s.content(id), disk) {
		t.Fatalf("after kill -9: %+v\n%s", m, s.Log)
	}
	ingot(t, "gc", "--data", data)
	s.Eventually("the uploads are aborted", func() bool { return len(server.Uploads(t, bucket)) == 0 })
	s.delete(id)
	ingot(t, "gc", "--data", data)
	s.Eventually("the bucket is empty", func() bool {
		_, held := server.Keys(t, bucket)
		return held == 0 && len(server.Uploads(t, bucket)) == 0
	})
}

// haltingOrigin serves a disk, but for what comes after its first bytes: that only once the channel is closed.
func haltingOrigin(t *testing.T, disk []byte, first int) (url string, goOn chan struct{}) {
	t.Helper()
	goOn = make(chan struct{})
	served := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		select {
		case <-goOn:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(disk))
			return
		default:
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(disk)))
		w.Write(disk[:first])
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the killed service's connection is gone
	}
	server := httptest.NewServer(http.HandlerFunc(served))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL, goOn
}

// What is wrong with a bucket is said at the start, with what to do.
func TestBucketsThatDoNotServe(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t, "theirs")
	server.Guest(t, bucket, "s3:ListBucket", "s3:GetObject")
	for _, c := range []struct{ name, access, secret, store, want, todo string }{
		{"a missing bucket", s3test.Access, s3test.Secret, server.URL("absent", ""), "no bucket absent", "aws s3 mb s3://absent"},
		{"a wrong secret", s3test.Access, "swordfish", server.URL(bucket, ""), "does not accept the credentials", "AWS_SECRET_ACCESS_KEY"},
		{"an unknown key", "NOBODY", "swordfish", server.URL(bucket, ""), "does not accept the credentials", "AWS_ACCESS_KEY_ID"},
		{"no credentials", "", "", server.URL(bucket, ""), "no credentials", "Set AWS_ACCESS_KEY_ID"},
		{"no permission to write", s3test.GuestAccess, s3test.GuestSecret, server.URL(bucket, ""), "s3:PutObject was denied", "docs/operating.md"},
		{"nobody there", s3test.Access, s3test.Secret, "s3://bkt?region=r&endpoint=http://127.0.0.1:1", "connection refused", "Check the endpoint="},
		{"no S3", s3test.Access, s3test.Secret, "s3://bkt?region=r&endpoint=" + newOrigin(t, nil).URL, "no bucket bkt at", "Create it"},
		{"credentials in the URL", "", "", "s3://key:swordfish@" + bucket, "takes no credentials", "Set AWS_ACCESS_KEY_ID"},
		{"an unknown option", "", "", "s3://bkt?secret=swordfish", `no option "secret"`, "endpoint, region and addressing"},
		{"no scheme", "", "", "gs://b", "is no store", "s3://BUCKET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			withCredentials(t, c.access, c.secret)
			out := startFailing(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--store", c.store)
			if !strings.Contains(out, c.want) || !strings.Contains(out, c.todo) {
				t.Errorf("it says:\n%s\nwant %q and %q", out, c.want, c.todo)
			}
			for _, secret := range []string{"swordfish", s3test.Secret, s3test.GuestSecret} {
				if strings.Contains(out, secret) {
					t.Errorf("it names a secret:\n%s", out)
				}
			}
		})
	}
	if keys, _ := server.Keys(t, bucket); len(keys) != 0 {
		t.Errorf("left in the bucket: %q", keys)
	}
}
