// Command ingot is a self-hosted service for virtual machine images: the service, its care, and its client, in one
// binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes, as the help says.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the service."`
	Demo      demoCmd      `cmd:"" help:"Do the whole main job in a temporary directory: serve, import, read back, compare."`
	Token     tokenCmd     `cmd:"" help:"Create, list and revoke API tokens."`
	Account   accountCmd   `cmd:"" help:"Create and list accounts."`
	Publish   publishCmd   `cmd:"" help:"Make images public: one, or a whole catalogue of them."`
	Retire    retireCmd    `cmd:"" help:"Take a public image out of the lists."`
	Image     imageCmd     `cmd:"" help:"Create, list, show, change, delete, transfer and fetch images, through the API."`
	Tag       tagCmd       `cmd:"" help:"Create, list and delete tags, and put them on images, through the API."`
	Usage     usageCmd     `cmd:"" help:"Show what images hold of the disk: an account its own, through the API; the operator those of every account."`
	Transfers transfersCmd `cmd:"" help:"Show the transfers of images to other stores: how far they are, and why one failed."`
	GC        gcCmd        `cmd:"" name:"gc" help:"Free what no image needs any more. Safe while the service runs."`
	Fsck      fsckCmd      `cmd:"" help:"Check the stores, and repair them. Safe while the service runs. Exit codes: 0 sound, 1 damage, 2 wrong use."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the database's schema up to date, while older processes run."`
	Backup    backupCmd    `cmd:"" help:"Back up the catalogue, and keep the stores as they are until they are copied. Safe while the service runs."`

	Completion completionCmd `cmd:"" help:"Print the completion script for a shell: source <(ingot completion bash)"`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// terminal is where a command writes: results on Out, everything else on Err.
type terminal struct {
	Out, Err io.Writer
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its ends in the open, for testscript.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once: the handler is taken away with the first.
	context.AfterFunc(ctx, stop)

	var commands cli
	parser, err := kong.New(&commands,
		kong.Name("ingot"),
		kong.Description("A self-hosted service for virtual machine images: post a URL, get an image that is complete, verified and stored once.\n\n"+
			"A flag that has a variable shows it behind itself; what says one call's work (a name, a format) has none. Exit codes: 0 done, 1 failed, 2 wrong use."),
		kong.DefaultEnvars("INGOT"),
		kong.Writers(stdout, stderr),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(terminal{Out: stdout, Err: stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "ingot:", err)
		return exitFailed
	}
	return parseAndRun(parser, args, stderr)
}

// exit carries the code of kong's --help through its own exit function.
type exit int

func parseAndRun(parser *kong.Kong, args []string, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "ingot: %v\nTry: ingot --help\n", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		fmt.Fprintln(stderr, "ingot:", message(err))
		if errors.As(err, new(usageError)) {
			return exitUsage
		}
		return exitFailed
	}
	return exitDone
}

// usageError is a wrong use that only shows when the command runs.
type usageError struct{ error }

func newLogger(w io.Writer, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}
