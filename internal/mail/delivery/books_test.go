package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/store"
)

// book is what the database says of a letter.
type book struct {
	id, messageID, kind, address string
	state                        outbox.State
	class                        letter.Class
	maybeSent                    bool
	// sealed is how much of its content is left.
	sealed                int
	code                  int
	reply, queueID        string
	added, expires, ended time.Time
	// first is when the first attempt began that is known, unbegun how many
	// claims were given back.
	first   time.Time
	unbegun int
	// unanswered counts attempts whose answer was lost.
	unanswered int
}

// readBooks reads all letters, from the tables and past everything that wrote
// them.
func readBooks(ctx context.Context, db *store.DB) (all map[string]*book, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		all = map[string]*book{}
		err := tx.Each(func(r store.Row) error {
			var b book
			var added, expires, ended, began int64
			err := r.Scan(&b.id, &b.messageID, &b.kind, &b.address, &b.state, &b.class, &b.maybeSent, &b.sealed, &b.code, &b.reply, &b.queueID,
				&added, &expires, &ended, &began, &b.unbegun)
			b.added, b.expires, b.ended, b.first = store.FromMicros(added), store.FromMicros(expires), store.FromMicros(ended), store.FromMicros(began)
			all[b.id] = &b
			return err
		}, `SELECT id, message_id, kind, to_address, state, class, maybe_sent, length(sealed), code, reply, queue_id, added_at, expires_at, ended_at, began_at, unbegun FROM outbox_letter`)
		if err != nil {
			return err
		}
		return tx.Each(func(r store.Row) error {
			var id, state string
			var began int64
			if err := r.Scan(&id, &state, &began); err != nil {
				return err
			}
			b := all[id]
			if outbox.State(state) == outbox.Uncertain {
				b.unanswered++
			}
			if at := store.FromMicros(began); b.first.IsZero() || at.Before(b.first) {
				b.first = at
			}
			return nil
		}, `SELECT letter_id, state, began_at FROM outbox_attempt`)
	})
	return all, err
}

// wrongs compares what was acknowledged (the ids of letters by who they are for)
// with what the database says in the end, with nobody at work any more, and with
// what the server took. It returns what is wrong.
func wrongs(acknowledged map[string]string, books map[string]*book, taken []smtptest.Letter) (all []string) {
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	copies, names := map[string][]smtptest.Letter{}, map[string]string{}
	for _, l := range taken {
		to := strings.Join(l.To, " ")
		if acknowledged[to] == "" {
			complain("nobody added a letter to %q", to)
		}
		copies[to] = append(copies[to], l)
	}
	for who, id := range acknowledged {
		b := books[id]
		if b == nil {
			complain("the letter to %s is not there any more", who)
			continue
		}
		if other, ok := names[b.messageID]; ok {
			complain("the letters to %s and %s have the same Message-ID", who, other)
		}
		names[b.messageID] = who
		for _, wrong := range append(b.wrongs(), b.wrongCopies(copies[who])...) {
			complain("the letter to %s %s", who, wrong)
		}
	}
	slices.Sort(all)
	return all
}

// wrongs tells what is wrong with a letter by itself.
func (b *book) wrongs() (all []string) {
	switch b.state {
	case outbox.Accepted:
		if b.code/100 != 2 || !strings.HasPrefix(b.reply, fmt.Sprint(b.code)) {
			all = append(all, fmt.Sprintf("was accepted with %d %q", b.code, b.reply))
		}
		if b.sealed > 0 {
			all = append(all, "was accepted and its content is still there")
		}
	case outbox.Failed:
		if b.reply == "" {
			all = append(all, "failed and nobody said why")
		}
	case outbox.Expired:
		if b.ended.Before(b.expires) {
			all = append(all, "expired before its time")
		}
	case outbox.Queued, outbox.Deferred, outbox.Uncertain:
		if b.sealed == 0 {
			all = append(all, "waits and its content is gone")
		}
	default:
		all = append(all, "is "+string(b.state))
	}
	return all
}

// wrongCopies tells what is wrong with what came of a letter.
func (b *book) wrongCopies(copies []smtptest.Letter) (all []string) {
	most := b.unanswered
	if b.state == outbox.Accepted {
		most++
		if !slices.ContainsFunc(copies, func(l smtptest.Letter) bool { return l.QueueID == b.queueID }) {
			all = append(all, fmt.Sprintf("was accepted with the answer to another one, or to none: %q", b.reply))
		}
	}
	if len(copies) > most {
		all = append(all, fmt.Sprintf("came %d times, and the answers to %d were lost", len(copies), b.unanswered))
	}
	if (len(copies) > 1 || len(copies) > 0 && b.state != outbox.Accepted) && !b.maybeSent {
		all = append(all, "came and is not flagged")
	}
	for _, l := range copies {
		if !bytes.Equal(l.Data, copies[0].Data) {
			all = append(all, "came again in other words")
		}
		if messageIDOf(l.Data) != b.messageID {
			all = append(all, "came under another Message-ID")
		}
	}
	return all
}

// messageIDOf returns what a letter is called, whether its line is folded or not.
func messageIDOf(data []byte) string {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return ""
	}
	return m.Header.Get("Message-ID")
}

// repeats counts letters that came more than once.
func repeats(taken []smtptest.Letter) (n int) {
	times := map[string]int{}
	for _, l := range taken {
		if times[l.To[0]]++; times[l.To[0]] == 2 {
			n++
		}
	}
	return n
}

// goodBooks are three letters: one that was accepted, one whose answer was lost
// before it was, and one that waits.
func goodBooks() (acknowledged map[string]string, books map[string]*book, taken []smtptest.Letter) {
	acknowledged = map[string]string{"a@x": "1", "b@x": "2", "c@x": "3"}
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	books = map[string]*book{}
	for who, id := range acknowledged {
		books[id] = &book{
			id: id, messageID: "<" + id + "@x>", address: who, state: outbox.Accepted, code: 250, reply: "250 2.0.0 Ok: queued as 000" + id,
			queueID: "000" + id, added: at, expires: at.Add(time.Hour), maybeSent: true,
		}
	}
	books["2"].unanswered = 1
	*books["3"] = book{id: "3", messageID: "<3@x>", address: "c@x", state: outbox.Deferred, sealed: 100, added: at, expires: at.Add(time.Hour)}
	take := func(who, queueID string) {
		taken = append(taken, smtptest.Letter{To: []string{who}, QueueID: queueID, Data: []byte("Subject: x\r\nMessage-ID: " + books[acknowledged[who]].messageID + "\r\n\r\nhi\r\n")})
	}
	take("a@x", "0001")
	take("b@x", "0002")
	take("b@x", "0003")
	return acknowledged, books, taken
}

// Whoever compares the books notices each kind of wrong.
func TestTheBooksAreComparedWell(t *testing.T) {
	if all := wrongs(goodBooks()); len(all) > 0 {
		t.Errorf("control: good books are called wrong: %q", all)
	}
	if _, _, taken := goodBooks(); repeats(taken) != 1 {
		t.Errorf("%d letters are repeated", repeats(taken))
	}
	for what, doctor := range map[string]func(books map[string]*book, taken *[]smtptest.Letter){
		"is not there any more":        func(b map[string]*book, _ *[]smtptest.Letter) { delete(b, "3") },
		"is sending":                   func(b map[string]*book, _ *[]smtptest.Letter) { b["3"].state = outbox.Sending },
		"is cancelled":                 func(b map[string]*book, _ *[]smtptest.Letter) { b["3"].state = outbox.Cancelled },
		"its content is gone":          func(b map[string]*book, _ *[]smtptest.Letter) { b["3"].sealed = 0 },
		"its content is still there":   func(b map[string]*book, _ *[]smtptest.Letter) { b["1"].sealed = 10 },
		"was accepted with 0":          func(b map[string]*book, _ *[]smtptest.Letter) { b["1"].code = 0 },
		"was accepted with 250 \"\"":   func(b map[string]*book, _ *[]smtptest.Letter) { b["1"].reply = "" },
		"was accepted with 450":        func(b map[string]*book, _ *[]smtptest.Letter) { b["1"].code, b["1"].reply = 450, "450 no" },
		"nobody said why":              func(b map[string]*book, _ *[]smtptest.Letter) { b["3"].state = outbox.Failed },
		"expired before its time":      func(b map[string]*book, _ *[]smtptest.Letter) { b["3"].state = outbox.Expired },
		"the answer to another one":    func(b map[string]*book, _ *[]smtptest.Letter) { b["1"].queueID = "0002" },
		"or to none":                   func(_ map[string]*book, l *[]smtptest.Letter) { *l = (*l)[1:] },
		"the answers to 0 were lost":   func(b map[string]*book, _ *[]smtptest.Letter) { b["2"].unanswered = 0 },
		"came 3 times":                 func(_ map[string]*book, l *[]smtptest.Letter) { *l = append(*l, (*l)[2]) },
		"is not flagged":               func(b map[string]*book, _ *[]smtptest.Letter) { b["2"].maybeSent = false },
		"in other words":               func(_ map[string]*book, l *[]smtptest.Letter) { (*l)[2].Data = append((*l)[2].Data, '!') },
		"under another Message-ID":     func(b map[string]*book, _ *[]smtptest.Letter) { b["2"].messageID = "<9@x>" },
		"have the same Message-ID":     func(b map[string]*book, _ *[]smtptest.Letter) { b["2"].messageID = "<1@x>" },
		"nobody added a letter to":     func(_ map[string]*book, l *[]smtptest.Letter) { (*l)[0].To = []string{"z@x"} },
		"the letter to c@x came 1":     func(_ map[string]*book, l *[]smtptest.Letter) { (*l)[2].To = []string{"c@x"} },
		"to c@x came under another":    func(_ map[string]*book, l *[]smtptest.Letter) { (*l)[2].To = []string{"c@x"} },
		"to c@x came and is not flagg": func(_ map[string]*book, l *[]smtptest.Letter) { (*l)[2].To = []string{"c@x"} },
	} {
		acknowledged, books, taken := goodBooks()
		doctor(books, &taken)
		if all := wrongs(acknowledged, books, taken); !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, what) }) {
			t.Errorf("books in which a letter %s: noticed was %q", what, all)
		}
	}
}
