package bounce

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/imap"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

// State says how reading goes.
type State string

// The states.
const (
	// StateNew: it was not tried yet.
	StateNew State = "new"
	// StateWorking: the last round worked.
	StateWorking State = "working"
	// StateFailing: the last round did not.
	StateFailing State = "failing"
)

// Status is how reading goes.
type Status struct {
	State State
	// Reason, Advice and Said tell why it does not work, what to do, and what the
	// server said; empty while it works.
	Reason, Advice, Said string
	// Since is when the state began, Next when the mailbox is read next, ReadAt
	// when it was read last.
	Since, Next, ReadAt time.Time
	// Failures counts the rounds in a row that did not work.
	Failures int64
}

// Overview is all that a page shows.
type Overview struct {
	Settings Settings
	// Set tells that somebody set something.
	Set    bool
	Status Status
	// Counts are how many messages of each kind were read, ever; see [Counts].
	Counts map[string]int64
	// Trusted are the certificates trusted for the mailbox.
	Trusted []mail.Trusted
}

// Overview returns the settings and how reading goes.
func (s *Service) Overview(ctx context.Context, by actor.Actor) (Overview, error) {
	if err := manage(by); err != nil {
		return Overview{}, err
	}
	var o Overview
	err := s.db.View(ctx, func(tx *store.Tx) error {
		st, ok, err := selectSettings(tx, "")
		if err != nil {
			return err
		}
		o = Overview{Settings: st.Settings, Set: ok, Status: st.status}
		if o.Counts, err = selectCounts(tx); err != nil {
			return err
		}
		anchors, err := selectAnchors(tx)
		for _, a := range anchors {
			if c, err := x509.ParseCertificate(a.DER); err == nil {
				o.Trusted = append(o.Trusted, mail.Trusted{
					Card: trust.Describe(c), Mode: a.Mode, Hex: trust.Fingerprint(a.DER), AddedBy: a.AddedBy, AddedAt: a.AddedAt,
				})
			}
		}
		return err
	})
	return o, err
}

// Numbers returns the counters and how many addresses are marked, for monitors.
func (s *Service) Numbers(ctx context.Context) (counts map[string]int64, marked int, failing bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		st, _, err := selectSettings(tx, "")
		if err != nil {
			return err
		}
		failing = st.Reads && st.status.State == StateFailing
		if counts, err = selectCounts(tx); err != nil {
			return err
		}
		marked, err = countStanding(tx)
		return err
	})
	return counts, marked, failing, err
}

// auditFailing says once that reading does not work any more: whoever follows the
// audit log hears of it.
func (s *Service) auditFailing(tx *store.Tx, st stored) error {
	return s.audit.Append(tx, actor.System("bounces"), audit.Event{
		Action: "mail.bounces_failing", Kind: "bounces", ID: st.id, Name: st.name(), Outcome: audit.Failed, Reason: st.status.Reason,
		Detail: []audit.Detail{{Name: "server said", Value: st.status.Said}, {Name: "what to do", Value: st.status.Advice}},
	})
}

// why is a failure in words.
type why struct{ Reason, Advice, Said string }

// known tells a failure that is the mailbox's or its settings', which the page
// shows; any other is one of this program.
func known(err error) bool {
	var e *imap.Error
	return err == nil || errors.Is(err, errUnbound) || errors.Is(err, errAccountGone) || errors.Is(err, errAddress) || errors.As(err, &e)
}

// explain tells what went wrong and what to do about it.
func explain(err error, set Settings) why {
	var verdict *trust.Verdict
	var e *imap.Error
	switch {
	case errors.Is(err, errAddress):
		return why{Reason: "Mail servers on this address are not allowed here.", Advice: "Use another server, or ask who runs Sealpost."}
	case errors.Is(err, errUnbound) && set.Auth == AuthAccount:
		return why{Reason: "The settings changed since somebody allowed the account to be used with them.", Advice: "Save the settings again as somebody who may use the account."}
	case errors.Is(err, errUnbound):
		return why{Reason: "The stored password is for other settings than these.", Advice: "Type the password again."}
	case errors.Is(err, errAccountGone):
		return why{Reason: "The account that signs in is gone or has no password.", Advice: "Choose another account, or give this one a password."}
	case errors.As(err, &verdict):
		return why{Reason: verdict.Sentence, Advice: verdict.Advice}
	case errors.As(err, &e):
		return explainIMAP(e, set)
	case fault.KindOf(err) == fault.KindUnavailable:
		return why{Reason: fault.Sentence(err), Advice: "Sealpost tries again by itself."}
	}
	return why{Reason: "The mailbox cannot be read because of a failure in Sealpost.", Advice: "The log says more."}
}

func explainIMAP(e *imap.Error, set Settings) why {
	w := why{Said: ""}
	if e.Kind == imap.KindRefused {
		w.Said = e.Text
	}
	switch {
	case e.Kind == imap.KindTLS && strings.Contains(e.Error(), "first record does not look like a TLS handshake"):
		w.Reason, w.Advice = "This port does not begin with TLS.", "Choose TLS (STARTTLS), or the port that begins with TLS, usually 993."
	case e.Kind == imap.KindTLS:
		w.Reason, w.Advice = "No encrypted connection comes about.", "Check the port and the kind of secure connection; the server must know TLS 1.2 or later."
	case e.Kind == imap.KindMissing && e.Stage == imap.StageTLS:
		w.Reason, w.Advice = "The server does not offer STARTTLS on this port.", "Choose SSL (TLS from the start), usually with port 993. A mailbox is never read in clear."
	case e.Kind == imap.KindMissing:
		w.Reason = "The server offers no sign-in with user name and password."
		w.Advice = "Exchange Online and others take tokens alone for IMAP. Let reports go to a mailbox that can be read with a password."
	case e.Kind == imap.KindRefused && e.Stage == imap.StageSignIn:
		w.Reason, w.Advice = "The server refuses the sign-in.", "Check user name and password, and whether the mailbox may be read over IMAP. Gmail wants an app password."
	case e.Kind == imap.KindRefused && e.Stage == imap.StageOpen:
		w.Reason, w.Advice = "The folder "+set.Folder+" cannot be opened.", "Check the folder's name as the server has it; INBOX is always there."
	case e.Kind == imap.KindRefused && e.Stage == imap.StageMove:
		w.Reason, w.Advice = "Handled messages cannot be moved to "+set.MoveTo+".", "Make the folder in the mailbox, or choose another one."
	case e.Kind == imap.KindRefused && e.Stage == imap.StageStore:
		w.Reason, w.Advice = "Handled messages cannot be marked or deleted.", "Give the account the right to change the folder, or leave messages where they are."
	case e.Kind == imap.KindRefused:
		w.Reason, w.Advice = "The server refuses to go on.", "Sealpost tries again by itself. If it stays so, the server's log says why."
	case e.Kind == imap.KindNetwork && e.Stage == imap.StageConnect:
		w.Reason, w.Advice = "The server cannot be reached.", "Check name, port and firewall. 993 begins with TLS, 143 is for STARTTLS."
	case e.Kind == imap.KindNetwork && e.Stage == imap.StageGreeting:
		w.Reason, w.Advice = "The server says nothing.", "With STARTTLS the port is usually 143; port 993 expects TLS at once."
	case e.Kind == imap.KindNetwork:
		w.Reason, w.Advice = "The connection broke or took too long.", "Sealpost tries again by itself."
	default:
		w.Reason, w.Advice = "The server does not speak IMAP as it should, or somebody is in between.", "Check name and port. Nothing was sent that a stranger could use."
	}
	return w
}
