package image

// Usage is what images hold of the stores. Counts are bytes.
type Usage struct {
	Images  int64
	Logical int64 // of guest data, before compression and sharing
	Stored  int64 // their part of what the stores hold
	Shared  int64 // what they need beyond that, and what other images' parts pay for
}

// ImageUsage is what one image holds.
type ImageUsage struct {
	ID   int64
	Name string
	Usage
}

// AccountUsage is what one account's images hold.
type AccountUsage struct {
	Name string
	Usage
}
