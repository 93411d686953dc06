package audit_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
)

// names returns the objects of a page.
func names(p audit.Page) []string {
	var out []string
	for _, e := range p.Entries {
		out = append(out, e.Name)
	}
	return out
}

func TestWhoSeesWhat(t *testing.T) {
	each(t, func(r *rig) {
		r.append(grace, audit.Event{Action: "user.edited", Name: "by grace"})
		r.append(ada, audit.Event{Action: "password.changed", Name: "by ada"})
		r.append(actor.System("delivery"), audit.Event{Action: "letter.failed", Name: "by the system"})
		all := []string{"by the system", "by ada", "by grace"}
		for _, tt := range []struct {
			by   actor.Actor
			want []string
		}{
			{grace, all},
			{user("adm", actor.Administrator), all},
			{auditor, all},
			{actor.Operator("root", "cli"), all},
			{ada, []string{"by ada"}},
			{user("pa", actor.PasswordAdministrator), nil},
		} {
			if got := names(r.search(tt.by, audit.Filter{})); !slices.Equal(got, tt.want) {
				r.t.Errorf("%s sees %q, want %q", tt.by.Role, got, tt.want)
			}
			// Asking for somebody else's is no way around.
			got := names(r.search(tt.by, audit.Filter{ActorID: grace.UserID, Login: "grace"}))
			if sees := len(got) > 0; sees != slices.Contains(tt.want, "by grace") {
				r.t.Errorf("%s asks for what grace did and gets %q", tt.by.Role, got)
			}
			_, err := r.log.Entry(r.ctx(), tt.by, 1)
			if may := slices.Contains(tt.want, "by grace"); (err == nil) != may || err != nil && !fault.Is(err, fault.KindNotFound) {
				r.t.Errorf("%s looks at entry 1: %v", tt.by.Role, err)
			}
		}
		_, err := r.log.Search(r.ctx(), actor.Actor{}, audit.Filter{})
		if !fault.Is(err, fault.KindDenied) {
			r.t.Errorf("nobody searches: %v", err)
		}
		if e, err := r.log.Entry(r.ctx(), ada, 2); err != nil || e.Name != "by ada" {
			r.t.Errorf("one's own entry: %+v, %v", e, err)
		}
		if _, err := r.log.Entry(r.ctx(), grace, 99); !fault.Is(err, fault.KindNotFound) {
			r.t.Errorf("an entry that is not there: %v", err)
		}
	})
}

func TestAnEntryIsReadAsItWasWritten(t *testing.T) {
	each(t, func(r *rig) {
		e := audit.Event{
			Action: "user.edited", Kind: "user", ID: "u1", Name: "Zoë “Z” <z>", Outcome: audit.Refused, Reason: "line\nbreak",
			Detail: []audit.Detail{{Name: "name", Before: "a", After: "b"}, {Name: "note", Value: `{"x": 1}`}},
		}
		r.append(ada, e)
		got, err := r.log.Entry(r.ctx(), grace, 1)
		r.must(err)
		if fmt.Sprintf("%+v", got.Event) != fmt.Sprintf("%+v", e) || !got.At.Equal(r.clock.Now()) {
			r.t.Errorf("got %+v at %v, want %+v", got.Event, got.At, e)
		}
		by := got.Actor
		if by.UserID != ada.UserID || by.Login != "ada" || by.Name != ada.Name || by.From != ada.From || by.Door != "web" || by.Agent != "Firefox" || by.RequestID != "r-1" {
			r.t.Errorf("done by %+v", by)
		}
		if text := audit.DetailText(got.Detail); text != `name: "a" to "b"; note: {"x": 1}` {
			r.t.Errorf("the detail reads %q", text)
		}
	})
}

func TestFilters(t *testing.T) {
	each(t, func(r *rig) {
		start := r.clock.Now()
		for _, e := range []struct {
			by actor.Actor
			e  audit.Event
		}{
			{grace, audit.Event{Action: "user.edited", Kind: "user", ID: "u1", Name: "one"}},
			{ada, audit.Event{Action: "user.invited", Kind: "user", ID: "u2", Name: "two", Reason: "100% sure"}},
			{grace, audit.Event{Action: "username.edited", Kind: "other", ID: "u1", Name: "three", Detail: []audit.Detail{{Name: "e-mail", After: "ÄPFEL@example.org"}}}},
			{grace, audit.Event{Action: "userx", Kind: "user", ID: "u3", Name: "four_"}},
		} {
			r.append(e.by, e.e)
			r.clock.Advance(time.Hour)
		}
		for _, tt := range []struct {
			f    audit.Filter
			want []string
		}{
			{audit.Filter{}, []string{"four_", "three", "two", "one"}},
			{audit.Filter{Action: "user.edited"}, []string{"one"}},
			{audit.Filter{Action: "user."}, []string{"two", "one"}},
			{audit.Filter{Login: "ada"}, []string{"two"}},
			{audit.Filter{ActorID: "id-ada"}, []string{"two"}},
			{audit.Filter{Kind: "user", ID: "u1"}, []string{"one"}},
			{audit.Filter{ID: "u1"}, []string{"three", "one"}},
			{audit.Filter{From: start.Add(time.Hour), To: start.Add(3 * time.Hour)}, []string{"three", "two"}},
			{audit.Filter{Text: "äpfel"}, []string{"three"}},
			{audit.Filter{Text: "USER ADA"}, []string{"two"}},
			{audit.Filter{Text: "100%"}, []string{"two"}},
			{audit.Filter{Text: "_"}, []string{"four_"}},
			{audit.Filter{Text: "192.0.2.1", Login: "ada"}, []string{"two"}},
			{audit.Filter{Text: "nothing of that"}, nil},
		} {
			if got := names(r.search(grace, tt.f)); !slices.Equal(got, tt.want) {
				r.t.Errorf("%+v: got %q, want %q", tt.f, got, tt.want)
			}
		}
		actions, err := r.log.Actions(r.ctx())
		r.must(err)
		if want := []string{"user.edited", "user.invited", "username.edited", "userx"}; !slices.Equal(actions, want) {
			r.t.Errorf("actions: %q, want %q", actions, want)
		}
	})
}

// TestPagesMissNothing turns the pages while entries are added: what was there
// at the first page is shown once.
func TestPagesMissNothing(t *testing.T) {
	each(t, func(r *rig) {
		r.fill(23)
		var seen []int64
		f := audit.Filter{Limit: 5}
		for {
			page := r.search(grace, f)
			for _, e := range page.Entries {
				seen = append(seen, e.Seq)
			}
			if f.Before = page.Next; f.Before == 0 {
				break
			}
			r.fill(2)
		}
		if len(seen) != 23 || seen[0] != 23 || seen[22] != 1 || !slices.IsSortedFunc(seen, func(a, b int64) int { return int(b - a) }) {
			r.t.Errorf("saw %v, want 23 to 1", seen)
		}
		if n := len(r.search(grace, audit.Filter{Limit: 100_000}).Entries); n != r.rows() {
			r.t.Errorf("a large page holds %d of %d", n, r.rows())
		}
		if page := r.search(grace, audit.Filter{Limit: -1}); len(page.Entries) == 0 {
			r.t.Error("a page of less than nothing is empty")
		}
	})
}

// corpus is text with which others' searches were broken into.
var corpus = []string{
	"' OR '1'='1", "'; DROP TABLE audit_entry; --", `" OR ""="`, "1); DELETE FROM audit_entry; --", "%' UNION SELECT 1,2,3 --",
	"\\", `\'`, "%", "_", "%%", "$1", "?", ":name", "'||(SELECT mac FROM audit_head)||'", "/*", "*/", "--", ";", "\x00", "\xff", "\u202e",
	"a' AND (SELECT COUNT(*) FROM identity_user) > 0 --", "CAST(1 AS INTEGER)", "pg_sleep(10)", "user." + strings.Repeat("x", 10_000),
}

func TestSearchTextIsData(t *testing.T) {
	each(t, func(r *rig) {
		r.append(grace, audit.Event{Action: "user.edited", Kind: "user", ID: "u", Name: "plain words"})
		for _, text := range corpus {
			for field, f := range map[string]audit.Filter{
				"text": {Text: text}, "action": {Action: text}, "noun": {Action: text + "."}, "login": {Login: text},
				"actor": {ActorID: text}, "kind": {Kind: text}, "id": {ID: text},
			} {
				page, err := r.log.Search(r.ctx(), grace, f)
				if err != nil && !fault.Is(err, fault.KindInvalid) {
					r.t.Errorf("%s %q: %v", field, text, err)
				}
				if len(page.Entries) > 0 && field == "text" && !strings.Contains("plain words user.edited", text) && text != "\x00" && text != "\xff" {
					r.t.Errorf("%s %q finds %q", field, text, names(page))
				}
			}
		}
		if v := r.verify(); !v.OK || v.Entries != 1 {
			r.t.Errorf("after all searches: %+v", v)
		}
		// What is stored is found by itself.
		for i, text := range corpus[:10] {
			r.append(grace, audit.Event{Action: "user.edited", Name: fmt.Sprint("n", i), Reason: text})
			if got := names(r.search(grace, audit.Filter{Text: text})); !slices.Contains(got, fmt.Sprint("n", i)) {
				r.t.Errorf("%q does not find itself: %q", text, got)
			}
		}
	})
}

func TestExportForSpreadsheets(t *testing.T) {
	each(t, func(r *rig) {
		formulas := []string{"=HYPERLINK(\"http://evil\")", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "x;=1+1"}
		for _, text := range formulas {
			r.append(user(text, actor.PasswordUser), audit.Event{Action: "user.edited", Name: text, Reason: text})
		}
		r.append(ada, audit.Event{Action: "user.edited", Name: `a "quoted", name`, Reason: "two\nlines"})
		var b bytes.Buffer
		r.must(r.log.Export(r.ctx(), grace, audit.Filter{Limit: 1}, &b))
		rows, err := csv.NewReader(&b).ReadAll()
		r.must(err)
		if len(rows) != 1+len(formulas)+1 || rows[0][0] != "number" {
			r.t.Fatalf("%d rows", len(rows))
		}
		if got := rows[1]; got[8] != `a "quoted", name` || got[10] != "two\nlines" {
			r.t.Errorf("got %q", got)
		}
		for _, row := range rows[1:] {
			for _, cell := range row {
				// Some spreadsheets begin a cell at a semicolon.
				for part := range strings.SplitSeq(cell, ";") {
					if part != "" && strings.ContainsAny(part[:1], "=+-@\t\r") {
						r.t.Errorf("a spreadsheet takes %q for a formula", cell)
					}
				}
			}
		}
		b.Reset()
		r.must(r.log.Export(r.ctx(), ada, audit.Filter{}, &b))
		if n := strings.Count(b.String(), "user.edited"); n != 1 {
			r.t.Errorf("ada exports %d entries, want her own", n)
		}
	})
}
