package main

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Who has a part has the file of that name, not one that another pull has just renamed or removed.
func TestAPartIsTheFileOfItsName(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk.raw.part")
	var pulls sync.WaitGroup
	for range 4 {
		pulls.Go(func() {
			for range 2000 {
				p, err := openPart(name, "tag")
				if err != nil {
					if !strings.Contains(err.Error(), "another pull") {
						t.Error(err)
						return
					}
					continue
				}
				if !isAt(p.File, name) {
					t.Error("the part is another file")
				}
				if err := p.discard(); err != nil {
					t.Error(err)
				}
				p.Close()
			}
		})
	}
	pulls.Wait()
}
