package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	beginMark = "<!-- bench/growth writes what stands from here -->"
	endMark   = "<!-- to here -->"
)

// table is a curve as markdown.
func table(c curve) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | s an import | : first | CPU s an import | : first | peak MB | |\n|---|---|---|---|---|---|---|\n", strings.TrimSpace(c.name+" "+c.unit))
	for i, p := range c.y {
		fmt.Fprintf(&b, "| %d | %.2f | %.2f | %.2f | %.2f | %d | %s |\n", c.x[i], p.wall, p.wall/c.y[0].wall, p.cpu, p.cpu/c.y[0].cpu, p.peak>>20, c.note[i])
	}
	return b.String()
}

// write puts tables and plot where the documentation has them.
func write(docs string, curves []curve) error {
	if docs == "" {
		return nil
	}
	page := filepath.Join(docs, "benchmarks.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s: its marks are gone", page)
	}
	var b strings.Builder
	for _, c := range curves {
		b.WriteString(table(c))
	}
	return errors.Join(
		os.WriteFile(page, []byte(before+beginMark+"\n"+b.String()+"\n![what an import costs as the work grows](growth.svg)\n\n"+endMark+after), 0o644),
		os.WriteFile(filepath.Join(docs, "growth.svg"), []byte(svg(curves)), 0o644),
	)
}

// The plot: a panel for each curve, side by side.
const (
	panelWidth, panelHeight = 300, 260
	left, top, right, foot  = 44, 44, 16, 48
)

// svg draws wall and CPU time of an import against the first one's, which is 1.
func svg(curves []curve) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11">`+"\n",
		panelWidth*len(curves), panelHeight)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	most := 2.0
	for _, c := range curves {
		for _, p := range c.y {
			most = max(most, p.wall/c.y[0].wall*1.1, p.cpu/c.y[0].cpu*1.1)
		}
	}
	for i, c := range curves {
		panel(&b, c, i*panelWidth, most)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func panel(b *strings.Builder, c curve, x0 int, most float64) {
	const width, height = panelWidth - left - right, panelHeight - top - foot
	y := func(v float64) float64 { return top + height*(1-v/most) }
	x := func(i int) float64 { return float64(x0+left) + float64(width)*(float64(i)+0.5)/float64(len(c.x)) }
	fmt.Fprintf(b, `<text x="%d" y="18" font-size="13" font-weight="bold">%s</text>`+"\n", x0+left, strings.TrimSpace(c.name+" "+c.unit))
	for v := 0.0; v <= most; v += max(0.5, float64(int(most/4))) {
		fmt.Fprintf(b, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n", x0+left, y(v), width, x0+left-6, y(v)+4, v)
	}
	for i, v := range c.x {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(i), panelHeight-foot+16, v)
	}
	for k, line := range []struct {
		name, colour string
		of           func(point) float64
	}{{"time", "#1f5fa8", func(p point) float64 { return p.wall }}, {"CPU time", "#c2571a", func(p point) float64 { return p.cpu }}} {
		var points []string
		for i, p := range c.y {
			at := fmt.Sprintf("%.1f,%.1f", x(i), y(line.of(p)/line.of(c.y[0])))
			points = append(points, at)
			cx, cy, _ := strings.Cut(at, ",")
			fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="3" fill="%s"/>`+"\n", cx, cy, line.colour)
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), line.colour)
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s of an import, first = 1</text>`+"\n", x0+left, panelHeight-18+14*k, line.colour, line.name)
	}
}
