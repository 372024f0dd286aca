package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// goal is what the ratios shall be at most; 0: nothing is asked.
type goal struct{ b, c, floor float64 }

var goals = map[string]goal{
	"qcow2": {0.33, 0.4, 1.5}, "vmdk": {0.33, 0.4, 1.5}, "vdi": {0.33, 0.4, 1.5}, "vhdx": {0.33, 0.4, 1.5},
	"qcow2-zlib": {0.5, 0.6, 1.5}, "qcow2-zstd": {0.5, 0.6, 1.5}, "vmdk-stream": {0.5, 0.6, 1.5},
	"raw.gz": {0.33, 0.4, 1.5}, "qcow2.gz": {0.33, 0.4, 1.5},
	"raw.bz2": {0.5, 0.55, 1.2}, "qcow2.bz2": {0.5, 0.55, 1.2},
	"again": {0.2, 0.5, 0}, "near": {0.2, 0.5, 0},
}

const (
	storedGoal   = 1.1       // of (b)'s file
	memoryOne    = 256 << 20 // with one import
	memoryEach   = 64 << 20  // with each further one
	togetherGoal = 1.0       // of one after the other
)

// result is a case's medians and ratios.
type result struct {
	compared
	Name      string  `json:"name"`
	Ours      taken   `json:"ingot"`
	Settled   int64   `json:"ingot_settled_bytes"`
	B         taken   `json:"b"`
	C         taken   `json:"c"`
	FloorName string  `json:"floor_stage"`
	FloorOf   taken   `json:"floor"`
	ToB       float64 `json:"ingot_to_b"`
	ToC       float64 `json:"ingot_to_c"`
	ToFloor   float64 `json:"ingot_to_floor"`
	ToBNoSync float64 `json:"ingot_to_b_without_its_sync"`
	ToCNoSync float64 `json:"ingot_to_c_without_its_sync"`
	Stored    float64 `json:"stored_to_b_file"`
}

// report is all of a run.
type report struct {
	When     time.Time
	CPUs     int
	Load     string // of the machine when the run began
	Data     int64  // bytes of the disk that are no holes
	Cases    []result
	Together []together
}

func newReport(p *prepared) *report {
	load, _ := os.ReadFile("/proc/loadavg")
	return &report{When: time.Now(), CPUs: runtime.NumCPU(), Load: strings.TrimSpace(string(load)), Data: p.bytes}
}

func (r *report) add(c compared) {
	x := result{compared: c, Name: c.File.Name}
	var mine, b, c1, bNoSync, cNoSync []taken
	for _, o := range c.Ingot {
		mine = append(mine, o.taken)
		x.Settled = max(x.Settled, o.Settled)
	}
	for _, p := range c.Peers {
		b, c1 = append(b, p.QCOW2), append(c1, p.Raw)
		bNoSync, cNoSync = append(bNoSync, p.QCOW2NoSync), append(cNoSync, p.RawNoSync)
	}
	x.Ours, x.B, x.C = median(mine), median(b), median(c1)
	x.FloorName, x.FloorOf = slowest(medianStages(c.Floor))
	x.ToB, x.ToC, x.ToFloor = x.Ours.Wall/x.B.Wall, x.Ours.Wall/x.C.Wall, x.Ours.Wall/x.FloorOf.Wall
	x.ToBNoSync, x.ToCNoSync = x.Ours.Wall/median(bNoSync).Wall, x.Ours.Wall/median(cNoSync).Wall
	x.Stored = float64(x.Settled) / float64(c.Peers[0].StoredQCOW2)
	r.Cases = append(r.Cases, x)
	fmt.Fprintf(os.Stderr, "%s: Ingot %.1f s, (b) %.1f, (c) %.1f, floor %.1f (%s)\n", x.Name, x.Ours.Wall, x.B.Wall, x.C.Wall, x.FloorOf.Wall, x.FloorName)
}

func medianStages(runs []map[string]taken) map[string]taken {
	by := map[string][]taken{}
	for _, run := range runs {
		for name, t := range run {
			by[name] = append(by[name], t)
		}
	}
	medians := map[string]taken{}
	for name, all := range by {
		medians[name] = median(all)
	}
	return medians
}

// judged is a ratio with its goal, in bold if it is missed.
func judged(ratio, most float64) string {
	switch {
	case most == 0:
		return fmt.Sprintf("%.2f", ratio)
	case ratio > most:
		return fmt.Sprintf("**%.2f** > %.2f", ratio, most)
	}
	return fmt.Sprintf("%.2f ≤ %.2f", ratio, most)
}

func mb(n int64) int64 { return n >> 20 }

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d cores, load %s, %d MB of data in the disk\n\n", r.When.Format(time.DateTime), r.CPUs, r.Load, mb(r.Data))
	fmt.Fprintln(w, "| case | file MB | Ingot s | (b) s | (c) s | floor s | the floor | Ingot : (b) | Ingot : (c) | Ingot : floor |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	for _, x := range r.Cases {
		g := goals[x.Name]
		floor := fmt.Sprintf("%.1f | %s", x.FloorOf.Wall, x.FloorName)
		ratio := judged(x.ToFloor, g.floor)
		if g.floor == 0 { // little is new: these stages are not needed
			floor, ratio = " | ", ""
		}
		fmt.Fprintf(w, "| %s | %d | %.1f | %.1f | %.1f | %s | %s | %s | %s |\n", x.Name, mb(x.File.Size), x.Ours.Wall, x.B.Wall, x.C.Wall,
			floor, judged(x.ToB, g.b), judged(x.ToC, g.c), ratio)
	}
	fmt.Fprint(w, "\nCPU seconds, peak memory and bytes written, in MB; against (b) and (c) without their sync; the store at rest against (b)'s file:\n\n")
	fmt.Fprintln(w, "| case | Ingot CPU s, then settling | (b) CPU s | (c) CPU s | Ingot peak, settling | (b) | (c) | Ingot written, settling | (b) | (c) | : (b), no sync | : (c), no sync | settling s | stored MB | at rest MB | (b) file MB | stored : (b) file |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, x := range r.Cases {
		last := x.Ingot[len(x.Ingot)-1]
		stored := judged(x.Stored, storedGoal)
		if goals[x.Name].floor == 0 {
			stored = "" // two images are in the store
		}
		fmt.Fprintf(w, "| %s | %.1f, %.1f | %.1f | %.1f | %d, %d | %d | %d | %d, %d | %d | %d | %s | %s | %.1f | %d | %d | %d | %s |\n", x.Name, x.Ours.CPU, last.Settling.CPU,
			x.B.CPU, x.C.CPU, mb(x.Ours.Peak), mb(last.Settling.Peak), mb(x.B.Peak), mb(x.C.Peak), mb(x.Ours.Written), mb(last.Settling.Written), mb(x.B.Written), mb(x.C.Written),
			judged(x.ToBNoSync, goals[x.Name].b), judged(x.ToCNoSync, goals[x.Name].c), last.Settling.Wall, mb(last.Stored), mb(x.Settled), mb(x.Peers[0].StoredQCOW2), stored)
	}
}

func (r *report) addAtOnce(t together) { r.Together = append(r.Together, t) }

func (r *report) printAtOnce(w io.Writer) {
	if len(r.Together) == 0 {
		return
	}
	fmt.Fprintf(w, "\nSeveral imports at once, of disks that share nothing, in a new service; memory at most %d MB and %d for each further one:\n\n", memoryOne>>20, memoryEach>>20)
	fmt.Fprintln(w, "| kind | two, one after the other s | two at once s | at once : one after the other | peak MB of 1 | of 2 | of 4 | 4 at once s |\n|---|---|---|---|---|---|---|---|")
	for _, t := range r.Together {
		after := t.Each[0].Wall + t.Each[1].Wall
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %s |", t.Kind, after, t.AtOnce[2].Wall, judged(t.AtOnce[2].Wall/after, togetherGoal))
		for _, n := range []int{1, 2, parted} {
			fmt.Fprintf(w, " %s |", judgedMB(t.AtOnce[n].Peak, memoryOne+int64(n-1)*memoryEach))
		}
		fmt.Fprintf(w, " %.1f |\n", t.AtOnce[parted].Wall)
	}
}

func judgedMB(n, most int64) string {
	if n > most {
		return fmt.Sprintf("**%d** > %d", mb(n), mb(most))
	}
	return fmt.Sprintf("%d ≤ %d", mb(n), mb(most))
}

// save writes all of it as JSON.
func (r *report) save(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
