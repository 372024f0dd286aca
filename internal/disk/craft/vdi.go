package craft

import "bytes"

// VDIMapAt is where the block map of a crafted VDI file is.
const VDIMapAt = 512

// VDI makes a dynamic VDI file. Its blocks stand in guest order; those of zeros are left out.
func VDI(guest []byte) *File {
	f := &File{}
	blocks := int64(len(guest)+mib-1) / mib
	data := (VDIMapAt + 4*blocks + 511) / 512 * 512
	f.Text(0, "<<< made for a test >>>\n")
	f.Put32(0x40, 0xbeda107f)
	f.Put32(0x44, 1<<16|1)
	f.Put32(0x48, 0x180)
	f.Put32(0x4c, 1)
	f.Put32(0x154, VDIMapAt)
	f.Put32(0x158, uint32(data))
	f.Put32(0x168, 512)
	f.Put64(0x170, uint64(len(guest)))
	f.Put32(0x178, mib)
	f.Put32(0x180, uint32(blocks))
	f.Grow(data)
	present := uint32(0)
	for i := range blocks {
		b := guest[i*mib : min((i+1)*mib, int64(len(guest)))]
		if bytes.Count(b, []byte{0}) == len(b) {
			f.Put32(VDIMapAt+4*i, 0xffffffff)
			continue
		}
		f.Put32(VDIMapAt+4*i, present)
		f.add(b, mib)
		present++
	}
	f.Put32(0x184, present)
	return f
}
