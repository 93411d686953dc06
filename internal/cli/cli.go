package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/sealpost/sealpost/internal/fault"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitNo     = 3
)

// Env is what the command line takes from the outside.
type Env struct {
	// Args are the words after the program's name.
	Args []string
	// Environ is the environment as os.Environ returns it.
	Environ []string
	// In, Out and Err are the standard streams.
	In       io.Reader
	Out, Err io.Writer
	// Login is the operating-system user, for the audit log.
	Login string
}

// root is the whole command line.
type root struct {
	Data     string `help:"Folder with the database, the root key and the certificate." placeholder:"DIR"`
	Config   string `help:"Configuration file. Default: sealpost.yaml in the data folder, if it is there." placeholder:"FILE"`
	Database string `help:"PostgreSQL to use instead of the embedded SQLite. Prefer SEALPOST_DATABASE when the URL holds a password." placeholder:"postgres://…"`

	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Apply   applyCmd   `cmd:"" help:"Bring the set-up to what a YAML file says."`
	Admin   adminCmd   `cmd:"" help:"Help administrators in."`
	Mail    mailCmd    `cmd:"" help:"Test the mail server, see its state and what was sent."`
	Trust   trustCmd   `cmd:"" help:"Certificates trusted for the mail server."`
	Key     keyCmd     `cmd:"" help:"The keys that seal what is stored."`
	Audit   auditCmd   `cmd:"" help:"Read and verify the audit log."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// errNo makes a command end with status 3 after it printed its answer.
var errNo = errors.New("the answer is no")

// Run parses the words of env and runs the command. It returns the exit
// status.
func Run(ctx context.Context, env Env) int {
	var r root
	exited := -1
	parser, err := kong.New(&r,
		kong.Name("sealpost"),
		kong.Description("A self-hosted vault for privileged passwords, and the mail that goes with it."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(env.Out, env.Err),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		fmt.Fprintln(env.Err, "sealpost:", err)
		return exitFailed
	}
	args := env.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	cmd, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(env.Err, "sealpost:", err)
		fmt.Fprintln(env.Err, `Run "sealpost --help" for all commands.`)
		return exitUsage
	}
	err = cmd.Run(&session{ctx: ctx, env: env, root: &r})
	return report(env.Err, err)
}

// report prints what a person should read about err and returns the status.
func report(w io.Writer, err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNo):
		return exitNo
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "sealpost: cancelled")
		return exitFailed
	}
	fields := fault.Fields(err)
	if len(fields) == 0 || len(fields) > 1 || fields[0].Sentence != fault.Sentence(err) {
		fmt.Fprintln(w, "sealpost:", fault.Sentence(err))
	}
	for _, f := range fields {
		if f.Field == "" {
			fmt.Fprintln(w, "sealpost:", f.Sentence)
			continue
		}
		fmt.Fprintf(w, "  %s: %s\n", f.Field, f.Sentence)
	}
	if fault.Is(err, fault.KindInternal) {
		// At the shell there is no other log: the operator is the one who
		// reads it.
		fmt.Fprintln(w, "  cause:", err)
	}
	return exitFailed
}

// readSecretFile reads one secret from a file, or from standard input when
// path is "-". One trailing line break is not part of it.
func (s *session) readSecretFile(path string) (string, error) {
	var b []byte
	var err error
	if path == "-" {
		b, err = io.ReadAll(io.LimitReader(s.env.In, 64<<10))
	} else {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fault.Invalid("", fmt.Sprintf("The file %s cannot be read.", path)).Because(err)
	}
	return trimLineBreak(string(b)), nil
}

func trimLineBreak(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		s = s[:n-1]
	}
	if n := len(s); n > 0 && s[n-1] == '\r' {
		s = s[:n-1]
	}
	return s
}
