package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sealpost/sealpost/internal/blueprint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/operator"
)

type applyCmd struct {
	File  string `arg:"" help:"Set-up file, YAML, or - for standard input."`
	Check bool   `help:"Show the differences and change nothing. Exit status 3 if there are any."`
	JSON  bool   `help:"Print JSON."`
}

// Run applies the file.
func (c *applyCmd) Run(s *session) error {
	file, err := s.readSetup(c.File)
	if err != nil {
		return err
	}
	spec, err := blueprint.Parse(file)
	if err != nil {
		return err
	}
	secrets, err := s.resolve(spec.References(), filepath.Dir(c.File))
	if err != nil {
		return err
	}
	var done operator.Applied
	if err := s.operate(operator.CmdApply, operator.Apply{File: file, Secrets: secrets, Check: c.Check}, &done); err != nil {
		return err
	}
	if c.JSON {
		if err := s.printJSON(done); err != nil {
			return err
		}
	} else {
		s.saySteps(done, c.Check)
	}
	if c.Check && len(done.Steps) > 0 {
		return errNo
	}
	return nil
}

func (s *session) saySteps(done operator.Applied, check bool) {
	for _, st := range done.Steps {
		s.say("%s %s", st.Verb, printable(st.What))
		for _, l := range st.Lines {
			s.say("    %s", printable(l))
		}
	}
	switch {
	case len(done.Steps) == 0:
		s.say("Nothing to do: everything is as the file says.")
	case check:
		s.say("%s. Nothing was changed.", differences(len(done.Steps)))
	default:
		s.say("Done: %s.", differences(done.Done))
	}
}

func differences(n int) string {
	if n == 1 {
		return "1 difference"
	}
	return fmt.Sprintf("%d differences", n)
}

func (s *session) readSetup(name string) ([]byte, error) {
	in := s.env.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.Invalid("", fmt.Sprintf("The file %s cannot be read.", name)).Because(err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, blueprint.MaxFile+1))
	if err != nil {
		return nil, fault.Invalid("", fmt.Sprintf("The file %s cannot be read.", name)).Because(err)
	}
	return b, nil
}

// maxReference bounds what is read of one referenced file, in bytes.
const maxReference = 1 << 20

// resolve reads what the references point to. Relative paths start at the
// folder of the set-up file. One trailing line break is not part of a value.
func (s *session) resolve(refs []blueprint.Ref, dir string) (map[string][]byte, error) {
	environ := map[string]string{}
	for _, kv := range s.env.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			environ[k] = v
		}
	}
	out := make(map[string][]byte, len(refs))
	for _, r := range refs {
		kind, name := r.Split()
		if kind == "env" {
			v, ok := environ[name]
			if !ok || v == "" {
				return nil, fault.Invalid("", fmt.Sprintf("The environment variable %s, which the file refers to, is not set.", name))
			}
			out[string(r)] = []byte(v)
			continue
		}
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		b, err := readBounded(path)
		if err != nil {
			return nil, fault.Invalid("", fmt.Sprintf("The file %s, which the file refers to, cannot be read.", path)).Because(err)
		}
		out[string(r)] = []byte(trimLineBreak(string(b)))
	}
	return out, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxReference+1))
	if err == nil && len(b) > maxReference {
		err = fmt.Errorf("larger than %d bytes", maxReference)
	}
	return b, err
}
