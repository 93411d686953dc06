package page

import "io"

// RenderPart writes one of the templates that a page's file defines, for
// scripts that replace a part of the page.
func (e *Engine) RenderPart(w io.Writer, p Page, part string, data any) error {
	return e.execute(w, p, part, data)
}
