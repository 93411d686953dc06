package notify

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/store"
)

// The names of details of audit entries that alerts repeat.
const (
	detailServer   = "server said"
	detailProvider = "provider said"
	detailWho      = "signed in as"
	detailAdvice   = "what to do"
	detailCommand  = "command"
)

// titles are the entries of the audit log that are told, with what a person
// reads first.
func titles() map[string]string {
	return map[string]string{
		"mail.paused":          "Mail is paused: letters wait",
		"mail.resumed":         "Mail leaves again",
		"mail.stopped":         "Somebody stopped mail: letters wait",
		"mail.removed":         "Somebody removed a mail server",
		"mail.taken_over":      "The other mail server takes over the letters of one that is paused",
		"mail.given_back":      "The other mail server does not stand in any more",
		"mail.exchanged":       "Somebody made the second mail server the first",
		"mail.routes_changed":  "Somebody changed which mail server letters leave through",
		"mail.saved":           "Somebody changed the mail server settings",
		"mail.saved_untested":  "Somebody changed the mail server settings, without a test",
		"mail.signed_in":       "Somebody signed in for the mail server",
		"mail.sign_in_refused": "A sign-in for the mail server was refused",
		"mail.limited":         "Mail has reached its limit for today: letters wait",
		"mail.sign_in_ended":   "Nobody could sign in for the mail server, which is stopped",
		"mail.dkim_lost":       "The record of the key that signs letters is wrong or gone",
		"mail.bounces_failing": "The bounce mailbox cannot be read",
		"mail.bounces_saved":   "Somebody changed where reports about letters go",
		"mail.expiring":        "Something of the mail server ends",
	}
}

// actions are the keys of titles.
func actions() []string { return slices.Sorted(maps.Keys(titles())) }

// alert is what is posted. Its fields are those that docs/mail/alerts.md
// promises.
type alert struct {
	// ID is the same each time that the alert is posted, and of no other.
	ID string `json:"id"`
	At string `json:"at"`
	// Action is the audit log's.
	Action string `json:"action"`
	// Host is the one that people reach this Sealpost by, Server the mail
	// server.
	Host   string `json:"host"`
	Server string `json:"server"`
	Title  string `json:"title"`
	// Text says what happened in sentences, Advice what to do, Command what to
	// type for it elsewhere.
	Text    string `json:"text"`
	Advice  string `json:"advice"`
	Command string `json:"command"`
	// URL is the page to look at.
	URL string `json:"url"`
}

// alertOf makes the alert of an entry. Audit entries hold no secrets, and
// nothing else is in it.
func alertOf(e audit.Entry, site letter.Site) alert {
	a := alert{
		// Numbers begin at 1 in every installation; the moment tells them apart.
		ID: fmt.Sprintf("%d-%d", e.Seq, store.Micros(e.At)), At: e.At.UTC().Format(time.RFC3339),
		Action: e.Action, Server: e.Name, Title: titles()[e.Action],
	}
	if u, err := url.Parse(site.AccessURL); err == nil && site.AccessURL != "" {
		a.Host, a.URL = u.Host, site.AccessURL+"/admin/settings/mail"
	}
	text := []string{e.Reason}
	if e.Actor.UserID != "" {
		text = append(text, "By "+e.Actor.Login+".")
	}
	for _, d := range e.Detail {
		switch d.Name {
		case detailServer, detailProvider:
			if d.Value != "" {
				text = append(text, "The "+d.Name+": "+d.Value)
			}
		case detailWho:
			text = append(text, "Signed in as "+d.Value+".")
		case detailAdvice:
			a.Advice = d.Value
		case detailCommand:
			a.Command = d.Value
		}
	}
	a.Text = strings.TrimSpace(strings.Join(text, " "))
	return a
}
