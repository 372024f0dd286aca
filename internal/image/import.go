package image

import "time"

// Phase is what an import or a transfer is doing.
type Phase string

// The phases, in order. Fetching covers download, decompression and conversion, which run at once.
const (
	PhaseQueued     Phase = "queued"
	PhaseConnecting Phase = "connecting"
	PhaseFetching   Phase = "fetching"
	PhaseFinishing  Phase = "finishing" // the last packs and the manifest become durable
	PhaseCopying    Phase = "copying"   // to another store: the one phase of a transfer
	PhaseDone       Phase = "done"
	PhaseFailed     Phase = "failed"
)

// Claim is the right of one worker to run one import, or one transfer to another store. Every write under it is checked against Lease (a fencing
// token, new with each claim), so that a worker that lost its lease can change nothing any more.
type Claim struct {
	ImageID   int64
	AccountID int64
	URL       string // a secret: may hold credentials
	Region    string
	Attempt   int    // from 1; an interrupted attempt is not counted
	Broken    int    // attempts whose worker died or lost its lease
	Lease     string // the fencing token
	Worker    string

	Action  int64 // of a transfer to another store, which is claimed as imports are; 0: an import
	StoreID int64 // that a transfer goes to
}

// Job is the number by which a claim's work owns what it writes and pins in a store: imports and transfers share no
// numbers.
func (c Claim) Job() int64 {
	if c.Action != 0 {
		return -c.Action
	}
	return c.ImageID
}

// Progress is how far an import is, and at its end the report of it. Counts are bytes.
type Progress struct {
	Phase         Phase
	Attempt       int
	BytesRead     int64 // from the source
	BytesExpected int64 // 0: unknown
	GuestBytes    int64 // guest disk covered so far, holes included
	GuestSize     int64 // 0: not known yet
	DataBytes     int64 // guest data seen so far
	StoredBytes   int64 // written to the store by this import
	SharedBytes   int64 // guest data that the store held already
	Format        string
	Compression   string
	SourceSHA256  string // when the source has been read to its end
	ContentDigest string // when done
	Seconds       map[Phase]float64
	ErrorCode     string
	ErrorMessage  string
	UpdatedAt     time.Time
	StartedAt     time.Time // of the first attempt; zero: not started
	FinishedAt    time.Time // zero: not finished
}
