package page

import (
	"bytes"
	"fmt"
	"io"
)

// RenderPart writes one of the templates that a page's file defines, for
// scripts that replace a part of the page.
func (e *Engine) RenderPart(w io.Writer, p Page, part string, data any) error {
	t := e.pages[p.Template()]
	if t == nil {
		return fmt.Errorf("page: there is no %s.html", p.Template())
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, part, data); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
