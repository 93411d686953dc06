package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"strings"
	"time"
)

//go:embed *.html
var files embed.FS

// shared are the files that hold no page: the layout and the parts, a file of
// parts for each noun that has some of its own.
var shared = []string{"layout.html", "parts.html", "parts_*.html"}

// Engine holds the parsed templates. It is safe for use by several goroutines.
type Engine struct {
	pages map[string]*template.Template
}

// NewEngine parses all templates. asset returns the address of an embedded
// file; now is the clock that relative times are counted from.
func NewEngine(asset func(string) string, now func() time.Time) (*Engine, error) {
	root, err := template.New("").Funcs(funcs(asset, now)).ParseFS(files, shared...)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	names, err := Names()
	if err != nil {
		return nil, err
	}
	e := &Engine{pages: map[string]*template.Template{}}
	for _, name := range names {
		t, err := root.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := t.ParseFS(files, name+".html"); err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		e.pages[name] = t
	}
	return e, nil
}

// Names returns the names of all pages.
func Names() ([]string, error) {
	all, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range all {
		if file != "layout.html" && !strings.HasPrefix(file, "parts") {
			names = append(names, strings.TrimSuffix(file, ".html"))
		}
	}
	return names, nil
}

// Render writes the whole page. It writes nothing when a template fails.
func (e *Engine) Render(w io.Writer, p Page) error {
	t := e.pages[p.Template()]
	if t == nil {
		return fmt.Errorf("page: there is no %s.html", p.Template())
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
