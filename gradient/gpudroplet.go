package gradient

import "ingot/gradient/option"

// GPUDropletService holds the services of GPU Droplets. Make it by [NewClient].
type GPUDropletService struct {
	Options []option.RequestOption
	Images  GPUDropletImageService
}

// NewGPUDropletService returns a service with options for each request. It does not read the environment.
func NewGPUDropletService(opts ...option.RequestOption) GPUDropletService {
	return GPUDropletService{Options: opts, Images: NewGPUDropletImageService(opts...)}
}
