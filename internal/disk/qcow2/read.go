package qcow2

import (
	"errors"
	"io"
)

// maxRun bounds what is read at once for compressed clusters that follow one another in the file, unless one stream
// alone is longer: the format allows twice a cluster.
const maxRun = 1 << 20

// ReadAt reads guest bytes. A run of plain clusters that lie together in the file is one read of the file, straight
// into p; so is, up to 1 MiB, a run of compressed ones, which are inflated straight into p when p covers them whole.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("qcow2: ReadAt at a negative offset")
	}
	if off >= d.size {
		return 0, io.EOF
	}
	end := off + min(int64(len(p)), d.size-off)
	for at := off; at < end; {
		next, err := d.readExtent(p[at-off:end-off], at)
		if err != nil {
			return int(at - off), err
		}
		at = next
	}
	if n := int(end - off); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

// readExtent reads what lies at off, as far into p as one reading goes, and returns where that ends.
func (d *Disk) readExtent(p []byte, off int64) (int64, error) {
	x, err := d.extent(off, off+int64(len(p)))
	if err != nil {
		return 0, err
	}
	part := p[:x.end-x.start]
	switch {
	case x.kind == hole:
		clear(part)
		return x.end, nil
	case x.kind == data:
		if err := d.src.fill(part, x.host, "guest data"); err != nil {
			return 0, err
		}
		d.src.done(x.host, x.host+x.length)
		return x.end, nil
	case !d.whole(x):
		return x.end, d.readPart(part, x)
	}
	return d.readRun(p, x)
}

// whole reports whether a compressed extent is all of its cluster.
func (d *Disk) whole(x extent) bool { return x.end-x.start == d.clusterSize }

// run is compressed clusters that lie one after the other in the guest and in the file. It is kept for its memory.
type run struct {
	list []extent
	buf  []byte
}

// readRun reads the compressed clusters from first on that p holds whole and that lie together in the file.
func (d *Disk) readRun(p []byte, first extent) (int64, error) {
	r := d.runs.Get().(*run)
	defer d.runs.Put(r)
	last := d.gather(r, first, first.start+int64(len(p)))
	in, err := d.readStreams(r, first.host, last)
	if err != nil {
		return 0, err
	}
	for i, x := range r.list {
		from := x.host - first.host
		stream := in[from:min(int64(len(in)), from+x.length)]
		to := x.start - first.start
		used, err := d.inflate(p[to:to+d.clusterSize:len(p)], stream, x) // spoils only what comes next
		if err != nil {
			return 0, err
		}
		r.list[i].length = int64(used)
	}
	d.doneStreams(r.list)
	return last.end, nil
}

// doneStreams gives back what was read of streams that lie one after the other. Their lengths are the true ones.
func (d *Disk) doneStreams(list []extent) {
	if d.src.release == nil {
		return
	}
	var start, end int64
	for _, x := range list {
		from, to := d.ends.cover(x.host, x.host+x.length)
		if from >= to {
			continue
		}
		if from != end {
			d.src.done(start, end)
			start = from
		}
		end = to
	}
	d.src.done(start, end)
}

// gather puts first, and the clusters that go on where it ends, in r.list, and returns the last of them.
func (d *Disk) gather(r *run, first extent, limit int64) extent {
	r.list = append(r.list[:0], first)
	last := first
	for last.end < limit {
		x, err := d.extent(last.end, limit)
		if err != nil || x.kind != compressed || !d.whole(x) ||
			x.host < last.host || x.host > last.host+last.length ||
			x.host+x.length < last.host+last.length || x.host+x.length > first.host+maxRun {
			break // what is bad there is told when it is read
		}
		r.list = append(r.list, x)
		last = x
	}
	return last
}

// readStreams reads from byte off of the file to the end of the stream of last, into r's buffer.
func (d *Disk) readStreams(r *run, off int64, last extent) ([]byte, error) {
	n := int(last.host + last.length - off)
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	n, err := d.src.atLeast(int(last.least()-off), r.buf[:n], off, "compressed data")
	if err != nil && (d.ends.gaveBack(off, off+1) || d.ends.gaveBack(last.host, last.host+last.length)) {
		return nil, d.shared(last)
	}
	return r.buf[:n], err
}
