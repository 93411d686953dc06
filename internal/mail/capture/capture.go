package capture

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// maxMail is the largest letter that is taken.
	maxMail = 8 << 20
	// defaultMax, defaultMaxBytes and defaultKeep bound what is kept.
	defaultMax      = 500
	defaultMaxBytes = 64 << 20
	defaultKeep     = 30 * 24 * time.Hour
)

// Config is what a mailbox needs.
type Config struct {
	DB    *store.DB
	Keys  *keyring.Keyring
	Audit *audit.Log
	// Max is how many letters are kept, 500 where it is 0; MaxBytes how many
	// bytes they may have together, 64 MiB where it is 0; Keep how long they
	// stay, 30 days where it is 0.
	Max      int
	MaxBytes int64
	Keep     time.Duration
	// Caught, if not nil, is called after a letter was stored.
	Caught func()
	Log    *slog.Logger
}

// Mailbox is safe for use by several goroutines.
type Mailbox struct {
	db       *store.DB
	keys     *keyring.Keyring
	audit    *audit.Log
	max      int
	maxBytes int64
	keep     time.Duration
	caught   func()
	log      *slog.Logger

	mu       sync.Mutex
	listener net.Listener
	server   *smtp.Server
}

// New returns a mailbox that does not listen yet.
func New(c Config) *Mailbox {
	m := &Mailbox{db: c.DB, keys: c.Keys, audit: c.Audit, max: c.Max, maxBytes: c.MaxBytes, keep: c.Keep, caught: c.Caught, log: c.Log}
	if m.max <= 0 {
		m.max = defaultMax
	}
	if m.maxBytes <= 0 {
		m.maxBytes = defaultMaxBytes
	}
	if m.keep <= 0 {
		m.keep = defaultKeep
	}
	if m.caught == nil {
		m.caught = func() {}
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	return m
}

// SealedColumns names the columns that hold sealed values.
func SealedColumns() []keyring.Column {
	return []keyring.Column{{Table: "capture_mail", ID: "id", Column: "sealed"}}
}

func place(id string) keyring.Place {
	return keyring.Place{Table: "capture_mail", Row: id, Column: "sealed"}
}

// Mail is a caught letter as the list shows it.
type Mail struct {
	ID string
	// From and To are those of the envelope.
	From string
	To   []string
	// Subject is that of the header, decoded, in one line.
	Subject string
	At      time.Time
	// Size is in bytes.
	Size    int
	HasHTML bool
}

// Filter says which letters are wanted.
type Filter struct {
	// Text is looked for in sender, recipients and subject.
	Text string
	// Cursor is the Next of the page before.
	Cursor string
	// Limit is the number of letters, 50 where it is 0, 200 at most.
	Limit int
}

// Page is a page of the list, newest first.
type Page struct {
	Mails []Mail
	Next  string
}

func may(by actor.Actor) error {
	if !by.May(actor.ManageSettings) {
		return fault.Denied("Your role may not see the capture mailbox.")
	}
	return nil
}

// List returns a page of the caught letters, without what they say.
func (m *Mailbox) List(ctx context.Context, by actor.Actor, f Filter) (Page, error) {
	if err := may(by); err != nil {
		return Page{}, err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 200)
	var page Page
	err := m.db.View(ctx, func(tx *store.Tx) error {
		mails, err := selectMails(tx, f)
		page = Page{Mails: mails}
		if len(mails) > f.Limit {
			page.Mails = mails[:f.Limit]
			page.Next = page.Mails[f.Limit-1].ID
		}
		return err
	})
	return page, err
}

// Get returns a letter and what it says. The opening is audited first.
func (m *Mailbox) Get(ctx context.Context, by actor.Actor, id string) (Mail, Content, error) {
	mail, source, err := m.open(ctx, by, id, "capture.opened")
	if err != nil {
		return Mail{}, Content{}, err
	}
	return mail, parse(source), nil
}

// Attached describes a file that came with a letter.
type Attached struct {
	Name, Type string
	Size       int
}

// Envelope returns a letter and what came with it, but nothing of what it says,
// which is why it is not audited.
func (m *Mailbox) Envelope(ctx context.Context, by actor.Actor, id string) (Mail, []Attached, error) {
	if err := may(by); err != nil {
		return Mail{}, nil, err
	}
	var mail Mail
	var source []byte
	err := m.db.View(ctx, func(tx *store.Tx) (err error) {
		mail, source, err = m.read(tx, id)
		return err
	})
	if err != nil {
		return Mail{}, nil, err
	}
	var attached []Attached
	for _, a := range parse(source).Attachments {
		attached = append(attached, Attached{a.Name, a.Type, len(a.Data)})
	}
	return mail, attached, nil
}

// Source returns a letter as it came, for a file. That is audited first.
func (m *Mailbox) Source(ctx context.Context, by actor.Actor, id string) ([]byte, error) {
	_, source, err := m.open(ctx, by, id, "capture.downloaded")
	return source, err
}

func (m *Mailbox) open(ctx context.Context, by actor.Actor, id, action string) (Mail, []byte, error) {
	if err := may(by); err != nil {
		return Mail{}, nil, err
	}
	var mail Mail
	var source []byte
	err := m.db.Update(ctx, func(tx *store.Tx) (err error) {
		if mail, source, err = m.read(tx, id); err != nil {
			return err
		}
		return m.audit.Append(tx, by, event(action, mail))
	})
	if err != nil {
		return Mail{}, nil, err
	}
	return mail, source, nil
}

// read returns a letter and its source.
func (m *Mailbox) read(tx *store.Tx, id string) (Mail, []byte, error) {
	mail, sealed, err := selectMail(tx, id)
	if err != nil {
		return Mail{}, nil, err
	}
	v, err := m.keys.Open(tx, place(id), sealed)
	if err != nil {
		return Mail{}, nil, err
	}
	return mail, []byte(v.Reveal()), nil
}

func event(action string, mail Mail) audit.Event {
	return audit.Event{
		Action: action, Kind: "captured_mail", ID: mail.ID, Name: mail.Subject,
		Detail: []audit.Detail{{Name: "to", Value: joinAddresses(mail.To)}},
	}
}

// Delete removes a letter.
func (m *Mailbox) Delete(ctx context.Context, by actor.Actor, id string) error {
	if err := may(by); err != nil {
		return err
	}
	return m.db.Update(ctx, func(tx *store.Tx) error {
		mail, _, err := selectMail(tx, id)
		if err != nil {
			return err
		}
		if err := deleteMail(tx, id); err != nil {
			return err
		}
		return m.audit.Append(tx, by, event("capture.deleted", mail))
	})
}

// Clear removes all letters and tells how many there were.
func (m *Mailbox) Clear(ctx context.Context, by actor.Actor) (int64, error) {
	if err := may(by); err != nil {
		return 0, err
	}
	var n int64
	err := m.db.Update(ctx, func(tx *store.Tx) (err error) {
		if n, err = deleteAll(tx); err != nil {
			return err
		}
		return m.audit.Append(tx, by, audit.Event{Action: "capture.cleared", Kind: "captured_mail", Name: "capture mailbox"})
	})
	return n, err
}

// Prune removes letters beyond what is kept. It is done with each new letter as
// well; called now and then it keeps the age.
func (m *Mailbox) Prune(ctx context.Context) error { return m.db.Update(ctx, m.prune) }

func (m *Mailbox) prune(tx *store.Tx) error {
	sizes, err := selectSizes(tx)
	if err != nil {
		return err
	}
	var total int64
	oldest := tx.Now().Add(-m.keep)
	for i, s := range sizes {
		total += s.size
		// The newest is kept however large it is.
		if i > 0 && (i >= m.max || total > m.maxBytes) || s.at.Before(oldest) {
			return deleteFrom(tx, sizes[i:])
		}
	}
	return nil
}

// keepMail stores a letter that came in.
func (m *Mailbox) keepMail(ctx context.Context, from string, to []string, source []byte) (string, error) {
	id := store.NewID()
	c := parse(source)
	err := m.db.Update(ctx, func(tx *store.Tx) error {
		sealed, err := m.keys.Seal(tx, keyring.PurposeMail, place(id), secret.FromBytes(source))
		if err != nil {
			return err
		}
		mail := Mail{
			ID: id, From: line(from), To: to, Subject: short(c.Header("Subject")), At: tx.Now(), Size: len(source), HasHTML: c.HTML != "",
		}
		if err := insertMail(tx, mail, sealed); err != nil {
			return err
		}
		tx.OnCommit(m.caught)
		return m.prune(tx)
	})
	return id, err
}
