package gradient

// DigitalOcean's reference gives each parameter a type of its own, named after it, with all of its values. They are other
// names for the two types of this package, so that either will do.

// GPUDropletImageNewParamsDistribution is the distribution of an image to be created.
type GPUDropletImageNewParamsDistribution = ImageDistribution

// GPUDropletImageUpdateParamsDistribution is the distribution that an image shall have.
type GPUDropletImageUpdateParamsDistribution = ImageDistribution

// GPUDropletImageNewParamsRegion is the region that an image is available in first.
type GPUDropletImageNewParamsRegion = RegionSlug

// GPUDropletImageActionNewParamsBodyImageActionTransferRegion is the region that an image is copied to.
type GPUDropletImageActionNewParamsBodyImageActionTransferRegion = RegionSlug

// The distributions of New.
const (
	GPUDropletImageNewParamsDistributionArchLinux    = ImageDistributionArchLinux
	GPUDropletImageNewParamsDistributionCentOs       = ImageDistributionCentOs
	GPUDropletImageNewParamsDistributionCoreOs       = ImageDistributionCoreOs
	GPUDropletImageNewParamsDistributionDebian       = ImageDistributionDebian
	GPUDropletImageNewParamsDistributionFedora       = ImageDistributionFedora
	GPUDropletImageNewParamsDistributionFedoraAtomic = ImageDistributionFedoraAtomic
	GPUDropletImageNewParamsDistributionFreeBsd      = ImageDistributionFreeBsd
	GPUDropletImageNewParamsDistributionGentoo       = ImageDistributionGentoo
	GPUDropletImageNewParamsDistributionOpenSuse     = ImageDistributionOpenSuse
	GPUDropletImageNewParamsDistributionRancherOs    = ImageDistributionRancherOs
	GPUDropletImageNewParamsDistributionRockyLinux   = ImageDistributionRockyLinux
	GPUDropletImageNewParamsDistributionUbuntu       = ImageDistributionUbuntu
	GPUDropletImageNewParamsDistributionUnknown      = ImageDistributionUnknown
)

// The distributions of Update.
const (
	GPUDropletImageUpdateParamsDistributionArchLinux    = ImageDistributionArchLinux
	GPUDropletImageUpdateParamsDistributionCentOs       = ImageDistributionCentOs
	GPUDropletImageUpdateParamsDistributionCoreOs       = ImageDistributionCoreOs
	GPUDropletImageUpdateParamsDistributionDebian       = ImageDistributionDebian
	GPUDropletImageUpdateParamsDistributionFedora       = ImageDistributionFedora
	GPUDropletImageUpdateParamsDistributionFedoraAtomic = ImageDistributionFedoraAtomic
	GPUDropletImageUpdateParamsDistributionFreeBsd      = ImageDistributionFreeBsd
	GPUDropletImageUpdateParamsDistributionGentoo       = ImageDistributionGentoo
	GPUDropletImageUpdateParamsDistributionOpenSuse     = ImageDistributionOpenSuse
	GPUDropletImageUpdateParamsDistributionRancherOs    = ImageDistributionRancherOs
	GPUDropletImageUpdateParamsDistributionRockyLinux   = ImageDistributionRockyLinux
	GPUDropletImageUpdateParamsDistributionUbuntu       = ImageDistributionUbuntu
	GPUDropletImageUpdateParamsDistributionUnknown      = ImageDistributionUnknown
)

// The regions of New.
const (
	GPUDropletImageNewParamsRegionAms1 = RegionSlugAms1
	GPUDropletImageNewParamsRegionAms2 = RegionSlugAms2
	GPUDropletImageNewParamsRegionAms3 = RegionSlugAms3
	GPUDropletImageNewParamsRegionBlr1 = RegionSlugBlr1
	GPUDropletImageNewParamsRegionFra1 = RegionSlugFra1
	GPUDropletImageNewParamsRegionLon1 = RegionSlugLon1
	GPUDropletImageNewParamsRegionNyc1 = RegionSlugNyc1
	GPUDropletImageNewParamsRegionNyc2 = RegionSlugNyc2
	GPUDropletImageNewParamsRegionNyc3 = RegionSlugNyc3
	GPUDropletImageNewParamsRegionSfo1 = RegionSlugSfo1
	GPUDropletImageNewParamsRegionSfo2 = RegionSlugSfo2
	GPUDropletImageNewParamsRegionSfo3 = RegionSlugSfo3
	GPUDropletImageNewParamsRegionSgp1 = RegionSlugSgp1
	GPUDropletImageNewParamsRegionTor1 = RegionSlugTor1
	GPUDropletImageNewParamsRegionSyd1 = RegionSlugSyd1
)

// The regions of a transfer.
const (
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionAms1 = RegionSlugAms1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionAms2 = RegionSlugAms2
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionAms3 = RegionSlugAms3
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionBlr1 = RegionSlugBlr1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionFra1 = RegionSlugFra1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionLon1 = RegionSlugLon1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionNyc1 = RegionSlugNyc1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionNyc2 = RegionSlugNyc2
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionNyc3 = RegionSlugNyc3
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionSfo1 = RegionSlugSfo1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionSfo2 = RegionSlugSfo2
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionSfo3 = RegionSlugSfo3
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionSgp1 = RegionSlugSgp1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionTor1 = RegionSlugTor1
	GPUDropletImageActionNewParamsBodyImageActionTransferRegionSyd1 = RegionSlugSyd1
)
