package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/operator"
)

// session is one run of the command line, handed to the command's Run.
type session struct {
	ctx  context.Context
	env  Env
	root *root
}

// config reads file, environment and flags.
func (s *session) config(more config.Overrides) (config.Config, error) {
	more.DataDir, more.Database = s.root.Data, s.root.Database
	return config.Load(s.root.Config, s.env.Environ, more)
}

// operate runs a command of the operator's door: in the running server where
// one is up on this data folder, else here. The result is decoded into into.
func (s *session) operate(name string, args, into any) error {
	b, err := json.Marshal(args)
	if err != nil {
		return fault.Internal(err)
	}
	cfg, err := s.config(config.Overrides{})
	if err != nil {
		return err
	}
	result, err := s.execute(cfg, name, b)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(result, into); err != nil {
		return fault.Internal(fmt.Errorf("reading the result of %s: %w", name, err))
	}
	return nil
}

const (
	// busyWait is how long a command waits for another process that has the
	// database open and no socket: a server that is starting, or one that is
	// stopping, or another command.
	busyWait  = 5 * time.Second
	busyEvery = 50 * time.Millisecond
)

func (s *session) execute(cfg config.Config, name string, args json.RawMessage) (json.RawMessage, error) {
	late := time.After(busyWait)
	tick := time.NewTicker(busyEvery)
	defer tick.Stop()
	for {
		if c, up := operator.Connect(cfg.DataDir); up {
			return c.Execute(s.ctx, s.env.Login, name, args, s)
		}
		a, err := s.open(cfg, name)
		if err == nil {
			return s.executeHere(a, name, args)
		}
		if !app.Busy(err) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-late:
			return nil, err
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

func (s *session) open(cfg config.Config, name string) (*app.App, error) {
	// These two begin an installation; all others mean one that is there.
	begins := name == operator.CmdAdminCreate || name == operator.CmdApply
	return app.New(s.ctx, cfg, app.Options{Log: app.QuietLog(s.env.Err), Existing: !begins, Version: version})
}

func (s *session) executeHere(a *app.App, name string, args json.RawMessage) (json.RawMessage, error) {
	result, err := a.Door().Execute(s.ctx, actor.Operator(s.env.Login, "cli"), name, args, s)
	if cerr := a.Close(); err == nil && cerr != nil {
		err = cerr
	}
	return result, err
}

// Line prints one line of a running command.
func (s *session) Line(text string) { fmt.Fprintln(s.env.Err, printable(text)) }

// Progress prints how far long work has come.
func (s *session) Progress(label string, done, total int64) {
	if total > 0 {
		fmt.Fprintf(s.env.Err, "%s: %d of %d\n", label, done, total)
		return
	}
	fmt.Fprintf(s.env.Err, "%s: %d\n", label, done)
}

// printJSON prints v indented.
func (s *session) printJSON(v any) error {
	e := json.NewEncoder(s.env.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table prints rows under a heading in aligned columns. What comes from
// outside is made harmless for a terminal first.
func (s *session) table(head []string, rows [][]string) {
	w := tabwriter.NewWriter(s.env.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = printable(r[i])
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush()
}

// printable replaces control characters, so that a name or a server's reply
// cannot move the cursor or forge a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '·'
		}
		return r
	}, s)
}

// say prints one sentence to standard output.
func (s *session) say(format string, args ...any) { fmt.Fprintf(s.env.Out, format+"\n", args...) }

// localTime is how the command line shows a moment.
func localTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 -0700")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
