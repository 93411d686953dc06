package blueprint

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
)

// Delivery says how long letters are tried and remembered. What is left out
// stays as it is.
type Delivery struct {
	// JournalDays is how many days the journal tells of a letter that is done
	// with.
	JournalDays int `yaml:"journal_days"`
	// Lifetimes are how long letters are tried, by kind.
	Lifetimes map[string]time.Duration `yaml:"lifetimes"`
}

const deliveryKey = "mail.delivery"

func (d *Delivery) check(c *fault.Check) {
	for _, kind := range slices.Sorted(maps.Keys(d.Lifetimes)) {
		if _, ok := letter.Info(kind); !ok {
			var known []string
			for _, k := range letter.Kinds() {
				known = append(known, k.Key)
			}
			c.That(false, deliveryKey+".lifetimes."+kind, "There is no such letter. The kinds are "+strings.Join(known, ", ")+".")
		}
	}
}

// describesServer tells that the file says more of mail than how it is
// delivered and what becomes of bounces.
func (m *Mail) describesServer() bool {
	if m.Delivery == nil && m.Bounces == nil {
		return true
	}
	rest := *m
	rest.Delivery, rest.Bounces = nil, nil
	return !reflect.ValueOf(rest).IsZero()
}

// delivery compares how long letters are tried and remembered.
func (m *maker) delivery(ctx context.Context) error {
	if m.spec.Mail == nil || m.spec.Mail.Delivery == nil {
		return nil
	}
	spec := m.spec.Mail.Delivery
	want := func() (outbox.Settings, error) {
		s, err := m.Outbox.Settings(ctx, m.by)
		if spec.JournalDays != 0 {
			s.Keep = time.Duration(spec.JournalDays) * 24 * time.Hour
		}
		maps.Copy(s.Lifetimes, spec.Lifetimes)
		return s, err
	}
	s, err := want()
	if err != nil {
		return err
	}
	details, err := m.Outbox.Differences(ctx, m.by, s)
	if err != nil {
		return m.wrong(err, deliveryPlace)
	}
	if len(details) == 0 {
		return nil
	}
	var lines []string
	for _, d := range details {
		lines = append(lines, change(d.Name, d.Before, d.After)...)
	}
	m.step(verbChange, "mail delivery", lines, func(ctx context.Context) ([]string, error) {
		s, err := want()
		if err != nil {
			return nil, err
		}
		return nil, m.Outbox.Save(ctx, m.by, s)
	})
	return nil
}

// deliveryPlace is where a field of the settings stands in the file.
func deliveryPlace(field string) string {
	if kind, ok := strings.CutPrefix(field, outbox.LifetimeField("")); ok {
		return deliveryKey + ".lifetimes." + kind
	}
	return deliveryKey + ".journal_days"
}
