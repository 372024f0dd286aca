package gradient

import (
	"time"

	"ingot/gradient/internal/apijson"
	"ingot/gradient/packages/respjson"
)

// Image is an image. A field that the service sent as null, such as MinDiskSize before the image is available, has
// its zero value; JSON tells the difference.
type Image struct {
	// ID is never used again for another image.
	ID        int64     `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	// Description is a free text.
	Description  string            `json:"description"`
	Distribution ImageDistribution `json:"distribution"`
	// ErrorMessage says why an import failed; "" otherwise.
	ErrorMessage string `json:"error_message"`
	// MinDiskSize is the smallest disk that the image fits on, in GB.
	MinDiskSize int64  `json:"min_disk_size"`
	Name        string `json:"name"`
	// Public images can be used by every account.
	Public bool `json:"public"`
	// Regions are those where the image is available, none before its import has ended.
	Regions []RegionSlug `json:"regions"`
	// SizeGigabytes is the size of the image's data.
	SizeGigabytes float64 `json:"size_gigabytes"`
	// Slug is a name in place of the id; public images only.
	Slug   string      `json:"slug"`
	Status ImageStatus `json:"status"`
	Tags   []string    `json:"tags"`
	Type   ImageType   `json:"type"`

	JSON struct {
		ID, CreatedAt, Description, Distribution, ErrorMessage, MinDiskSize, Name respjson.Field
		Public, Regions, SizeGigabytes, Slug, Status, Tags, Type                  respjson.Field
		ExtraFields                                                               map[string]respjson.Field
		raw                                                                       string
	} `json:"-"`
}

// RawJSON returns the image as it came.
func (r Image) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes an image.
func (r *Image) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// ImageDistribution is the distribution of an image. Other names are read as they are; in requests the service puts
// Unknown in their place.
type ImageDistribution string

// The distributions.
const (
	ImageDistributionArchLinux    ImageDistribution = "Arch Linux"
	ImageDistributionCentOs       ImageDistribution = "CentOS"
	ImageDistributionCoreOs       ImageDistribution = "CoreOS"
	ImageDistributionDebian       ImageDistribution = "Debian"
	ImageDistributionFedora       ImageDistribution = "Fedora"
	ImageDistributionFedoraAtomic ImageDistribution = "Fedora Atomic"
	ImageDistributionFreeBsd      ImageDistribution = "FreeBSD"
	ImageDistributionGentoo       ImageDistribution = "Gentoo"
	ImageDistributionOpenSuse     ImageDistribution = "openSUSE"
	ImageDistributionRancherOs    ImageDistribution = "RancherOS"
	ImageDistributionRockyLinux   ImageDistribution = "Rocky Linux"
	ImageDistributionUbuntu       ImageDistribution = "Ubuntu"
	ImageDistributionUnknown      ImageDistribution = "Unknown"
)

// ImageStatus is the state of an image.
type ImageStatus string

// The states: NEW and pending while it is being imported. An import that failed is deleted, with an error message; a
// retired image is a public one that was withdrawn.
const (
	ImageStatusNew       ImageStatus = "NEW"
	ImageStatusAvailable ImageStatus = "available"
	ImageStatusPending   ImageStatus = "pending"
	ImageStatusDeleted   ImageStatus = "deleted"
	ImageStatusRetired   ImageStatus = "retired"
)

// ImageType says how an image came to be.
type ImageType string

// The types. Images made from a URL are custom.
const (
	ImageTypeBase     ImageType = "base"
	ImageTypeSnapshot ImageType = "snapshot"
	ImageTypeBackup   ImageType = "backup"
	ImageTypeCustom   ImageType = "custom"
	ImageTypeAdmin    ImageType = "admin"
)

// RegionSlug names a region.
type RegionSlug string

// DigitalOcean's regions. Other services may have others.
const (
	RegionSlugAms1 RegionSlug = "ams1"
	RegionSlugAms2 RegionSlug = "ams2"
	RegionSlugAms3 RegionSlug = "ams3"
	RegionSlugBlr1 RegionSlug = "blr1"
	RegionSlugFra1 RegionSlug = "fra1"
	RegionSlugLon1 RegionSlug = "lon1"
	RegionSlugNyc1 RegionSlug = "nyc1"
	RegionSlugNyc2 RegionSlug = "nyc2"
	RegionSlugNyc3 RegionSlug = "nyc3"
	RegionSlugSfo1 RegionSlug = "sfo1"
	RegionSlugSfo2 RegionSlug = "sfo2"
	RegionSlugSfo3 RegionSlug = "sfo3"
	RegionSlugSgp1 RegionSlug = "sgp1"
	RegionSlugTor1 RegionSlug = "tor1"
	RegionSlugSyd1 RegionSlug = "syd1"
)

// Action is something that was done, or is being done, to an image.
type Action struct {
	ID int64 `json:"id"`
	// CompletedAt is zero until the end.
	CompletedAt  time.Time    `json:"completed_at"`
	Region       Region       `json:"region"`
	RegionSlug   string       `json:"region_slug"`
	ResourceID   int64        `json:"resource_id"`
	ResourceType string       `json:"resource_type"`
	StartedAt    time.Time    `json:"started_at"`
	Status       ActionStatus `json:"status"`
	// Type is what is done, such as "transfer".
	Type string `json:"type"`

	JSON struct {
		ID, CompletedAt, Region, RegionSlug, ResourceID, ResourceType, StartedAt, Status, Type respjson.Field
		ExtraFields                                                                            map[string]respjson.Field
		raw                                                                                    string
	} `json:"-"`
}

// RawJSON returns the action as it came.
func (r Action) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes an action.
func (r *Action) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// ActionStatus is the state of an action.
type ActionStatus string

// The states.
const (
	ActionStatusInProgress ActionStatus = "in-progress"
	ActionStatusCompleted  ActionStatus = "completed"
	ActionStatusErrored    ActionStatus = "errored"
)

// Region is a region.
type Region struct {
	Available bool     `json:"available"`
	Features  []string `json:"features"`
	Name      string   `json:"name"`
	Sizes     []string `json:"sizes"`
	Slug      string   `json:"slug"`

	JSON struct {
		Available, Features, Name, Sizes, Slug respjson.Field
		ExtraFields                            map[string]respjson.Field
		raw                                    string
	} `json:"-"`
}

// RawJSON returns the region as it came.
func (r Region) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes a region.
func (r *Region) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// MetaProperties tells of a list.
type MetaProperties struct {
	// Total counts the objects on all pages.
	Total int64 `json:"total"`
}

// PageLinks leads to the other pages of a list.
type PageLinks struct {
	Pages PageLinksPages `json:"pages"`
}

// PageLinksPages are absolute URLs; "" where there is no such page.
type PageLinksPages struct {
	First string `json:"first"`
	Last  string `json:"last"`
	Next  string `json:"next"`
	Prev  string `json:"prev"`
}
