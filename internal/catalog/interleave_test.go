//go:build !race

package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"modernc.org/sqlite"
)

// The interleaving test runs the catalogue's and the store's own code in every order that several actors can come in.
// The atoms are transactions: SQLite has one writer, so that is exact for it. The driver below makes each actor wait
// before each transaction until the schedule lets it go; one actor moves at a time, and nothing else is random, so
// that an order can be run again. What PostgreSQL adds, the order of statements within transactions, is the matter of
// TestPinBesideCondemn and of the random tests.
//
// One goroutine moves at a time, so that the race detector has nothing to see, and would make this twenty times slower:
// scripts/test.sh runs it without.

// schedule is one order of the actors' atoms, and how to come to the next.
type schedule struct {
	choices []int // taken at each atom
	widths  []int // out of how many
	at      int
}

func (s *schedule) choose(n int) int {
	if s.at == len(s.choices) {
		s.choices, s.widths = append(s.choices, 0), append(s.widths, n)
	}
	s.widths[s.at] = n
	s.at++
	return s.choices[s.at-1]
}

// next goes to the next order; false after the last.
func (s *schedule) next() bool {
	for s.at = 0; len(s.choices) > 0; {
		last := len(s.choices) - 1
		if s.choices[last]++; s.choices[last] < s.widths[last] {
			return true
		}
		s.choices, s.widths = s.choices[:last], s.widths[:last]
	}
	return false
}

// actor is something that runs beside others.
type actor struct {
	name   string
	run    func(context.Context) error
	atoms  string // names of the calls whose transactions are atoms of their own, with spaces around; "": all
	event  chan bool
	resume chan struct{}
	err    error
}

type actorKey struct{}
type callKey struct{}

// call names what is done under a context.
func call(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callKey{}, name)
}

// gate makes an actor wait for its turn.
func gate(ctx context.Context) {
	a, _ := ctx.Value(actorKey{}).(*actor)
	name, _ := ctx.Value(callKey{}).(string)
	if a == nil || a.atoms != "" && !strings.Contains(a.atoms, " "+name+" ") {
		return
	}
	a.event <- true
	<-a.resume
}

// play runs the actors in one order and returns it in words.
func (s *schedule) play(ctx context.Context, actors []*actor) (trace []string) {
	var waiting []*actor
	move := func(a *actor) {
		if <-a.event {
			waiting = append(waiting, a)
		}
	}
	for _, a := range actors {
		a.event, a.resume, a.err = make(chan bool), make(chan struct{}), nil
		go func() {
			a.err = a.run(context.WithValue(ctx, actorKey{}, a))
			a.event <- false
		}()
		move(a)
	}
	for len(waiting) > 0 {
		i := s.choose(len(waiting))
		a := waiting[i]
		waiting = append(waiting[:i:i], waiting[i+1:]...)
		trace = append(trace, a.name)
		a.resume <- struct{}{}
		move(a)
	}
	return trace
}

// gatedConnector opens connections to one SQLite file whose transactions wait at the gate. Every statement goes through
// change first, by which a test takes a guard away.
type gatedConnector struct {
	name   string
	change func(string) string
}

func (g *gatedConnector) Driver() driver.Driver { return &sqlite.Driver{} }

func (g *gatedConnector) Connect(context.Context) (driver.Conn, error) {
	c, err := g.Driver().Open(g.name)
	if err != nil {
		return nil, err
	}
	inner, ok := c.(fullConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connection lacks a method"), c.Close())
	}
	return &gatedConn{inner, g.change}, nil
}

type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type gatedConn struct {
	fullConn
	change func(string) string
}

func (c *gatedConn) BeginTx(ctx context.Context, opt driver.TxOptions) (driver.Tx, error) {
	gate(ctx)
	return c.fullConn.BeginTx(ctx, opt)
}

func (c *gatedConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	return c.fullConn.ExecContext(ctx, c.change(q), args)
}

func (c *gatedConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	return c.fullConn.QueryContext(ctx, c.change(q), args)
}

func (c *gatedConn) PrepareContext(ctx context.Context, q string) (driver.Stmt, error) {
	return c.fullConn.PrepareContext(ctx, c.change(q))
}

// connectGated opens a database. Nothing of it need survive a power failure.
func connectGated(file string, change func(string) string) *Catalog {
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(MEMORY)", "synchronous(OFF)", "foreign_keys(1)"}}
	name := "file:" + file + "?" + pragmas.Encode()
	// No bound on the connections: an actor that waits at the gate has one.
	writer := sql.OpenDB(&gatedConnector{name + "&_txlock=immediate", change})
	readers := sql.OpenDB(&gatedConnector{name, change})
	return &Catalog{d: newSQLite(), writer: writer, readers: readers}
}

// without returns a change of statements that takes a text out, and counts how often it did.
func without(done *atomic.Int64, text, instead string) func(string) string {
	return func(q string) string {
		if strings.Contains(q, text) {
			done.Add(1)
		}
		return strings.ReplaceAll(q, text, instead)
	}
}

func unchanged(q string) string { return q }

// The scheduler itself: with three actors of two, two and one atoms it runs each of the 30 orders once.
func TestScheduleIsExhaustive(t *testing.T) {
	steps := func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			for range n {
				gate(ctx)
			}
			return nil
		}
	}
	seen := map[string]bool{}
	s := &schedule{}
	for {
		trace := s.play(t.Context(), []*actor{{name: "a", run: steps(2)}, {name: "b", run: steps(2)}, {name: "c", run: steps(1)}})
		if key := fmt.Sprint(trace); seen[key] {
			t.Fatal("twice:", key)
		} else {
			seen[key] = true
		}
		if !s.next() {
			break
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d orders, want 30", len(seen))
	}
}
