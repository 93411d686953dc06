package oauth

import (
	"encoding/base64"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/sealpost/sealpost/internal/secret"
)

const (
	// maxText is the length of an authority's words, in runes: longer than what
	// Microsoft says with its ids.
	maxText = 800
	// minRedacted is the shortest credential that is looked for: shorter ones
	// would be found in every word.
	minRedacted = 4
)

// scrub makes an authority's words fit for a log and a page: one line, without
// characters that hide or turn text, without any of the credentials that were
// sent, and not too long.
func scrub(text string, sent []secret.Value) string {
	r := redactor(sent)
	// Once before spaces are joined and once after, so that neither hides a
	// credential.
	text = r.Replace(text)
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || hides(r) }), " ")
	text = r.Replace(text)
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText]) + "…"
	}
	return text
}

// redactor finds credentials as they are and as a server may repeat them from
// the request's body or in a page of its own.
func redactor(sent []secret.Value) *strings.Replacer {
	var forms []string
	for _, v := range sent {
		s := v.Reveal()
		if len(s) < minRedacted {
			continue
		}
		raw := []byte(s)
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), strings.Join(strings.Fields(s), " "),
			base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	// The longest first: one credential may be the beginning of another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, secret.Redacted)
	}
	return strings.NewReplacer(pairs...)
}

// hides tells characters that are not text: controls, line and paragraph
// separators, marks that turn the direction of writing or have no width, and
// what stands for bytes that are no UTF-8.
func hides(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar
}

// word returns s when it is a code as authorities give them, else "".
func word(s string) string {
	if len(s) > 64 {
		return ""
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return ""
		}
	}
	return s
}
