package bounce

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	testTime   = 30 * time.Second
	testLimit  = 10
	testWindow = time.Minute
)

// Step is one step of a test.
type Step struct {
	Title  string
	Failed bool
	// Detail is what came of it, Advice what to do, Said what the server said.
	Detail, Advice, Said string
	// Chain are the certificates that the server showed, where they are why it
	// failed.
	Chain []trust.Card
	// CanTrust and CanPin are as in trust.Verdict.
	CanTrust, CanPin bool
}

// Report is what came of a test.
type Report struct {
	Passed bool
	Steps  []Step
	// Messages is how many there are in the folder.
	Messages int
}

// Test connects, signs in, opens the folder and counts, with the values of c,
// saved or not. It changes nothing in the mailbox. It counts as a test: at most
// ten a minute for each actor, and each is audited.
func (s *Service) Test(ctx context.Context, by actor.Actor, c Change) (Report, error) {
	d, err := s.preview(ctx, by, c)
	if err != nil {
		return Report{}, err
	}
	if !d.Reads {
		return Report{}, fault.Invalid("reads", "There is nothing to test: the mailbox is not read.")
	}
	if err := s.allowTest(ctx, by, d); err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	var r Report
	titles := []string{"Connect to " + d.Server(), "Sign in", "Open the folder " + d.Folder}
	conn, folder, err := s.connect(ctx, d, true, func(st Step) { r.Steps = append(r.Steps, st) })
	if err != nil {
		w := explain(err, d.Settings)
		st := Step{Title: titles[min(len(r.Steps), len(titles)-1)], Failed: true, Detail: w.Reason, Advice: w.Advice, Said: w.Said}
		var v *trust.Verdict
		if errors.As(err, &v) {
			st.Chain, st.CanTrust, st.CanPin = v.Chain, v.CanTrust, v.CanPin
		}
		r.Steps = append(r.Steps, st)
		return r, nil
	}
	conn.Close(ctx)
	r.Passed, r.Messages = true, int(folder.Messages)
	r.Steps = append(r.Steps, Step{Title: titles[2], Detail: "It holds " + messages(r.Messages) + "."})
	return r, nil
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return strconv.Itoa(n) + " messages"
}

// allowTest counts and audits a test.
func (s *Service) allowTest(ctx context.Context, by actor.Actor, d draft) error {
	who := by.UserID
	if who == "" {
		who = by.Login
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		since := tx.Now().Add(-testWindow)
		n, err := countTests(tx, who, since)
		if err != nil {
			return err
		}
		if n >= testLimit {
			return fault.Unavailable("That were ten tests in a minute. Wait a moment.").WithCode(fault.CodeLimited)
		}
		if err := insertTest(tx, who, since); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{
			Action: "mail.bounces_tested", Kind: "bounces", ID: d.id, Name: d.Server(),
			Detail: []audit.Detail{{Name: "secure connection", Value: string(d.Security)}, {Name: "folder", Value: d.Folder}},
		})
	})
}
