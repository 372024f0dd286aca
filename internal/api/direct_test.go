package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/store"
)

// direct does what a script's directive says: what happens to images beside the wire.
func (s *service) direct(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	var err error
	switch words[0] {
	case "claim": // ID: a worker begins the import, which must be the next
		s.claim(t, words[1])
	case "report": // ID BYTES: it has read so many of 1000 bytes
		err = s.catalog.Report(t.Context(), s.claims[words[1]], image.Progress{
			Phase: image.PhaseFetching, BytesRead: number(t, words[2]), BytesExpected: 1000, GuestSize: 4096,
			Format: "qcow2", Compression: "gzip", Seconds: map[image.Phase]float64{image.PhaseConnecting: 0.25, image.PhaseFetching: 2},
		})
	case "publish": // ID GUEST DATA: it ends well, with a disk of so many bytes
		s.publish(t, words[1], number(t, words[2]), number(t, words[3]))
	case "fail": // ID CODE MESSAGE: it ends badly
		err = s.catalog.Fail(t.Context(), s.claims[words[1]], words[2], strings.Join(words[3:], " "))
	case "copy": // ACTION: a worker begins the transfer, which must be the next
		s.claims["action "+words[1]] = s.claimCopy(t, number(t, words[1]))
	case "copied": // ACTION: it ends well
		err = s.copied(t, s.claims["action "+words[1]])
	case "lost": // ACTION: it ends badly
		err = s.catalog.Replications().Fail(t.Context(), s.claims["action "+words[1]], "store_failed", "The store failed.")
	case "public": // ID SLUG KIND TYPE: the operator makes an image public
		_, err = s.catalog.MakePublic(t.Context(), number(t, words[1]), image.Publication{Slug: words[2], Kind: words[3], Type: image.Type(words[4])})
	case "retire": // ID: the operator withdraws it
		_, err = s.catalog.Retire(t.Context(), number(t, words[1]))
	case "revoke": // NAME ACCOUNT: a token ends
		err = s.catalog.RevokeToken(t.Context(), s.accounts[words[2]], s.ids[words[1]])
	case "create": // ACCOUNT COUNT: so many images, named 1 and so on
		s.create(t, words[1], number(t, words[2]))
	case "register": // ACCOUNT TYPE ID: the operator registers an image of a type, which gets the id and is imported
		s.register(t, words[1], image.Type(words[2]), words[3])
	case "woken": // COUNT: so often the queue was woken
		if int64(s.woken) != number(t, words[1]) {
			err = fmt.Errorf("it was woken %d times", s.woken)
		}
	default:
		t.Fatalf("there is no directive %s", words[0])
	}
	if err != nil {
		t.Fatalf("! %s: %v", line, err)
	}
}

// beginUpload returns the id of a new upload.
func (s *service) beginUpload(t *testing.T, account, length string) string {
	t.Helper()
	resp := s.do(t, http.MethodPost, "/v2/uploads", nil, "Authorization", "Bearer "+s.tokens[account], "Tus-Resumable", "1.0.0", "Upload-Length", length)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("the upload is not begun: %d", resp.StatusCode)
	}
	return path.Base(resp.Header.Get("Location"))
}

func number(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *service) claim(t testing.TB, id string) {
	t.Helper()
	claim, err := s.catalog.Claim(t.Context(), "worker", time.Hour)
	if err != nil || claim == nil || claim.ImageID != number(t, id) {
		t.Fatalf("the import of %s cannot be claimed: %+v, %v", id, claim, err)
	}
	s.claims[id] = *claim
}

func (s *service) claimCopy(t testing.TB, action int64) image.Claim {
	t.Helper()
	claim, err := s.catalog.Replications().Claim(t.Context(), "worker", time.Hour)
	if err != nil || claim == nil || claim.Action != action {
		t.Fatalf("the transfer %d cannot be claimed: %+v, %v", action, claim, err)
	}
	return *claim
}

// copied ends a transfer with the content that the image has.
func (s *service) copied(t testing.TB, claim image.Claim) error {
	t.Helper()
	m, err := s.catalog.Image(t.Context(), claim.AccountID, claim.ImageID)
	if err != nil {
		return err
	}
	w := store.Written{Object: fmt.Sprint("copy-", claim.Action), Size: 100, GuestSize: m.GuestSize, DataBytes: m.DataSize}
	if _, err := hex.Decode(w.Manifest[:], []byte(m.Digest)); err != nil {
		return err
	}
	owner := store.Owner{Import: claim.Job(), Lease: claim.Lease}
	if err := s.catalog.Index(claim.StoreID).Begin(t.Context(), owner, store.KindManifest, w.Object); err != nil {
		return err
	}
	return s.catalog.Replications().Complete(t.Context(), claim, image.Progress{}, w)
}

// publish ends an import. Its content is the service's disk where the guest's size is that of it, else nothing.
func (s *service) publish(t testing.TB, id string, guest, data int64) {
	t.Helper()
	if _, ok := s.claims[id]; !ok {
		s.claim(t, id)
	}
	w := store.Written{
		Manifest: sha256.Sum256([]byte(id)), Object: "manifest-" + id, Size: 100,
		GuestSize: guest, DataBytes: data, StoredBytes: data / 2,
	}
	if guest == s.disk.Size() {
		w.Manifest = s.digest
	}
	s.files.disks[w.Manifest.String()] = s.disk
	owner := store.Owner{Import: number(t, id), Lease: s.claims[id].Lease}
	if err := s.catalog.Index(s.storeID).Begin(t.Context(), owner, store.KindManifest, w.Object); err != nil {
		t.Fatal(err)
	}
	p := image.Progress{Phase: image.PhaseDone, BytesRead: 1000, BytesExpected: 1000, ContentDigest: w.Manifest.String(), Seconds: map[image.Phase]float64{image.PhaseFetching: 4}}
	if err := s.catalog.Publish(t.Context(), s.claims[id], p, w); err != nil {
		t.Fatal(err)
	}
}

func (s *service) register(t testing.TB, account string, of image.Type, id string) {
	t.Helper()
	in := image.Create{Name: string(of), URL: "https://example.com/disk", Region: "nyc3", Distribution: "Debian", Type: of}
	m, err := s.catalog.CreateImage(t.Context(), s.accounts[account], in, image.IdempotencyKey{})
	if err != nil || m.ID != number(t, id) {
		t.Fatalf("the image is %d: %v", m.ID, err)
	}
	s.publish(t, id, 1<<30, 1000)
}

func (s *service) create(t testing.TB, account string, count int64) {
	t.Helper()
	for i := range count {
		in := image.Create{Name: fmt.Sprint(i + 1), URL: "https://example.com/disk", Region: "nyc3", Distribution: image.UnknownDistribution}
		if _, err := s.catalog.CreateImage(t.Context(), s.accounts[account], in, image.IdempotencyKey{}); err != nil {
			t.Fatal(err)
		}
	}
}
