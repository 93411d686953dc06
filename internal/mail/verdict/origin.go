package verdict

import (
	"slices"
	"strings"
)

// OfGrant tells that a row is about an authority that gave no token: what was
// said then are its words, and not the mail server's.
func (t *Table) OfGrant(row string) bool {
	return strings.HasPrefix(row, "class-grant-") || strings.HasPrefix(row, "grant-reach") ||
		slices.ContainsFunc(t.grants, func(g grant) bool { return g.id == row })
}
