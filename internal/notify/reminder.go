package notify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/store"
)

// RemindEvery is how often [Reminders.Run] should be called.
const RemindEvery = time.Hour

// End is something of the mail server that ends.
type End struct {
	// What names it as a sentence begins, for example "The client secret".
	// Another End of the same name, time and Apart is the same one.
	What string
	// Apart tells ends of the same name from one another.
	Apart string
	At    time.Time
	// Advice says how it is renewed.
	Advice string
	// Theirs tells that somebody else renews it as a matter of course, like a
	// server's own certificate: it is reminded of late.
	Theirs bool
	// Server is "host:port" of the mail server.
	Server string
}

// steps are the days before an end at which it is reminded of, the last one
// first. The step 0 is the end itself.
func (e End) steps() []int {
	if e.Theirs {
		// Those who renew by themselves do so with weeks to spare.
		return []int{0, 1, 3, 7}
	}
	return []int{0, 1, 3, 7, 14, 30, 60}
}

// due returns the step that is due at now: of those that passed the last one.
func (e End) due(now time.Time) (days int, ok bool) {
	left := e.At.Sub(now)
	for _, d := range e.steps() {
		if left <= time.Duration(d)*24*time.Hour {
			return d, true
		}
	}
	return 0, false
}

// RemindersConfig is what Reminders need. All of it is required.
type RemindersConfig struct {
	DB     *store.DB
	Audit  *audit.Log
	Users  *identity.Service
	Outbox *outbox.Outbox
	// Ends returns all that ends.
	Ends func(ctx context.Context) ([]End, error)
}

// Reminders write to administrators before something ends. They are safe for
// use by several goroutines and nodes.
type Reminders struct{ RemindersConfig }

// NewReminders returns the reminders of an installation.
func NewReminders(c RemindersConfig) (*Reminders, error) {
	if c.DB == nil || c.Audit == nil || c.Users == nil || c.Outbox == nil || c.Ends == nil {
		return nil, errors.New("notify: a part of the configuration is missing")
	}
	return &Reminders{c}, nil
}

// Run sends the reminders that are due. Where several steps passed since the
// last one, as with a certificate that was short-lived from the start, the
// nearest one stands for all.
func (r *Reminders) Run(ctx context.Context) error {
	ends, err := r.Ends(ctx)
	if err != nil || len(ends) == 0 {
		return err
	}
	people, err := r.administrators(ctx)
	if err != nil {
		return err
	}
	for _, e := range ends {
		err := r.DB.Update(ctx, func(tx *store.Tx) error { return r.remind(tx, e, people) })
		if err != nil {
			return fmt.Errorf("reminding of the end of %s: %w", e.What, err)
		}
	}
	return nil
}

func (r *Reminders) by() actor.Actor { return actor.System("reminders") }

// administrators returns the ids of those who may manage settings.
func (r *Reminders) administrators(ctx context.Context) ([]string, error) {
	var ids []string
	for _, role := range actor.Roles() {
		if !(actor.Actor{Kind: actor.KindUser, Role: role}).May(actor.ManageSettings) {
			continue
		}
		f := identity.Filter{Role: role, State: identity.Active}
		for {
			page, err := r.Users.Users(ctx, r.by(), f)
			if err != nil {
				return nil, err
			}
			for _, u := range page.Users {
				ids = append(ids, u.ID)
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
	}
	return ids, nil
}

func (r *Reminders) remind(tx *store.Tx, e End, people []string) error {
	days, due := e.due(tx.Now())
	if !due {
		return nil
	}
	if fresh, err := noteReminder(tx, e.What+e.Apart, e.At, days); err != nil || !fresh {
		return err
	}
	letters := 0
	for _, id := range people {
		u, err := r.Users.Lookup(tx, id)
		if fault.Is(err, fault.KindNotFound) || err == nil && u.State != identity.Active {
			continue // gone since they were listed
		}
		if err != nil {
			return err
		}
		letters++
		_, err = r.Outbox.Add(tx, outbox.Recipient{UserID: u.ID, Name: u.Name, Address: u.Email}, letter.ExpiryReminder{
			Name: u.Name, What: e.What, Server: e.Server, When: e.At, Left: left(e.At.Sub(tx.Now())), Advice: e.Advice,
		})
		if err != nil {
			return err
		}
	}
	return r.Audit.Append(tx, r.by(), audit.Event{
		Action: "mail.expiring", Kind: "mail_server", Name: e.Server, Reason: sentence(e, tx.Now()),
		Detail: []audit.Detail{
			{Name: "what", Value: e.What},
			{Name: "ends", Value: e.At.UTC().Format("2 January 2006, 15:04 UTC")},
			{Name: detailAdvice, Value: e.Advice},
			{Name: "letters", Value: strconv.Itoa(letters)},
		},
	})
}

// sentence says of an end what one needs to know.
func sentence(e End, now time.Time) string {
	day := e.At.UTC().Format("2 January 2006")
	if l := left(e.At.Sub(now)); l != "" {
		return fmt.Sprintf("%s ends %s, on %s.", e.What, l, day)
	}
	return fmt.Sprintf("%s ended on %s.", e.What, day)
}

// left says in words how long something lasts; "" when it has ended.
func left(d time.Duration) string {
	// Half a day up, so that a letter of the step "7 days" says 7 although it
	// is sent an hour late.
	switch days := int((d + 12*time.Hour) / (24 * time.Hour)); {
	case d <= 0:
		return ""
	case days == 0:
		return "within hours"
	case days == 1:
		return "in 1 day"
	default:
		return fmt.Sprintf("in %d days", days)
	}
}
