package image

import "slices"

// Limits of what a request may say. Lengths of text are in characters (Unicode code points).
const (
	MaxID          = 1<<53 - 1 // the largest whole number that every JSON client reads exactly
	MaxName        = 255
	MaxDescription = 4096
	MaxTagName     = 255
	MaxTags        = 256  // of one image
	MaxURL         = 8192 // bytes; signed links of object stores reach 3,000
	MaxKey         = 255  // bytes of an idempotency key
)

// MaxSize is the bound of the API: an image, decompressed and as a guest sees it, is smaller than 100 GB, holes counted.
const MaxSize = 100_000_000_000

// UnknownDistribution is what stands in place of a distribution that is not in the list.
const UnknownDistribution = "Unknown"

// Distributions returns the names that the API documents, and "Unknown OS", which Terraform sends and compares.
func Distributions() []string {
	return []string{
		"Arch Linux", "CentOS", "CoreOS", "Debian", "Fedora", "Fedora Atomic", "FreeBSD", "Gentoo", "openSUSE",
		"RancherOS", "Rocky Linux", "Ubuntu", UnknownDistribution, "Unknown OS",
	}
}

// Distribution returns name if it is one of Distributions, and UnknownDistribution for everything else: one
// client's own default is a misspelling, so an unknown name is no error.
func Distribution(name string) string {
	if slices.Contains(Distributions(), name) {
		return name
	}
	return UnknownDistribution
}

// Region is a place where images are held.
type Region struct {
	Slug, Name string
}

// DefaultRegions returns the 15 regions of the API that Ingot stands in for.
func DefaultRegions() []Region {
	return []Region{
		{"ams1", "Amsterdam 1"}, {"ams2", "Amsterdam 2"}, {"ams3", "Amsterdam 3"}, {"blr1", "Bangalore 1"},
		{"fra1", "Frankfurt 1"}, {"lon1", "London 1"}, {"nyc1", "New York 1"}, {"nyc2", "New York 2"},
		{"nyc3", "New York 3"}, {"sfo1", "San Francisco 1"}, {"sfo2", "San Francisco 2"}, {"sfo3", "San Francisco 3"},
		{"sgp1", "Singapore 1"}, {"syd1", "Sydney 1"}, {"tor1", "Toronto 1"},
	}
}
