package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"
)

//go:embed *.html
var files embed.FS

// shared are the files that hold no page: the layout and the parts, a file of
// parts for each noun that has some of its own.
var shared = []string{"layout.html", "parts.html", "parts_*.html"}

// Engine holds the templates. Each page is made ready when it is first shown:
// most are not for hours, and a start waits for none of them. That all of them
// parse is proved by a test, since they are part of the program. It is safe
// for use by several goroutines.
type Engine struct {
	pages map[string]func() (*template.Template, error)
}

// NewEngine parses what all pages share. asset returns the address of an
// embedded file; now is the clock that relative times are counted from.
func NewEngine(asset func(string) string, now func() time.Time) (*Engine, error) {
	root, err := template.New("").Funcs(funcs(asset, now)).ParseFS(files, shared...)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	names, err := Names()
	if err != nil {
		return nil, err
	}
	e := &Engine{pages: map[string]func() (*template.Template, error){}}
	for _, name := range names {
		e.pages[name] = sync.OnceValues(func() (*template.Template, error) { return parsePage(root, name) })
	}
	return e, nil
}

// parsePage returns the template of a page with all that it shares with others.
func parsePage(root *template.Template, name string) (*template.Template, error) {
	t, err := root.Clone()
	if err != nil {
		return nil, err
	}
	return t.ParseFS(files, name+".html")
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
func (e *Engine) Render(w io.Writer, p Page) error { return e.execute(w, p, "layout", p) }

// execute writes a template of those that the page p has at hand.
func (e *Engine) execute(w io.Writer, p Page, name string, data any) error {
	ready := e.pages[p.Template()]
	if ready == nil {
		return fmt.Errorf("page: there is no %s.html", p.Template())
	}
	t, err := ready()
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}
