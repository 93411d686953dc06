// Command sealpost is the whole of Sealpost in one binary: the server and the
// command line that goes with it.
package main

import (
	"context"
	"os"
	"os/signal"
	"os/user"
	"syscall"

	"github.com/sealpost/sealpost/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C does not wait for what the first one is waiting for.
	context.AfterFunc(ctx, stop)
	status := cli.Run(ctx, cli.Env{
		Args: os.Args[1:], Environ: os.Environ(),
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Login: login(),
	})
	os.Exit(status)
}

// login names the person at the shell for the audit log.
func login() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
