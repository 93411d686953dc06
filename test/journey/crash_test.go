package journey

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// killPoint is a point at which the server dies while grace adds a user, and
// what must be true afterwards.
type killPoint struct {
	name string
	// acknowledged: grace saw that the user is added. there: the user is.
	acknowledged, there bool
	// least and most are how often the letter lies in the mailbox in the end.
	least, most int
}

var killPoints = []killPoint{
	{"identity.invite.before-commit", false, false, 0, 0},
	{"identity.invite.after-commit", false, true, 1, 1},
	{"delivery.claimed", true, true, 1, 1},
	{"delivery.before-content", true, true, 1, 1},
	// The mail server may have had time to take the letter, or not.
	{"delivery.after-content", true, true, 1, 2},
	// It took the letter, and nobody here remembers.
	{"delivery.before-record", true, true, 2, 2},
	{"delivery.after-record", true, true, 1, 1},
}

func TestKilledWhileAUserIsAdded(t *testing.T) {
	engines(t, func(t *testing.T, engine store.Engine) {
		box := newMailbox(t)
		m := newMachine(t, engine)
		m.seed(box.port)
		grace := newDesk(t, m.url())
		for i, kp := range killPoints {
			t.Run(kp.name, func(t *testing.T) {
				m.t, grace.t = t, t
				login := fmt.Sprintf("ada-%d", i)
				p := m.start(kp.name)
				if i == 0 {
					grace.signIn("grace", gracePassword)
				}
				acknowledged := grace.adds(login)
				p.waitKilled(kp.name)
				// Where a letter leaves before grace's answer, the kill may
				// take the answer with it.
				if acknowledged && !kp.acknowledged {
					t.Error("the addition was acknowledged before it was kept")
				}

				p = m.start("")
				m.passLeases()
				box.wait(t, login+"@example.org", kp.least)
				m.settle(login, kp.there)
				if listed := strings.Contains(grace.get("/users?q="+login).body, login+"@example.org"); listed != kp.there {
					t.Errorf("the user is listed: %v, want %v", listed, kp.there)
				}
				p.stop()
				copies := box.of(login + "@example.org")
				if len(copies) < kp.least || len(copies) > kp.most {
					t.Errorf("%d copies of the letter, want %d to %d", len(copies), kp.least, kp.most)
				}
				sameLetter(t, copies)
			})
		}
		m.t = t
		verdict := sayJSON[operator.AuditVerified](m, "audit", "verify")
		if !verdict.OK {
			t.Errorf("the audit log is broken: %+v", verdict)
		}
	})
}

// adds adds a user and reports whether that was acknowledged.
func (d *desk) adds(login string) bool {
	a, err := d.try(http.MethodPost, "/users/add", url.Values{
		"name": {"Ada Lovelace"}, "login": {login}, "email": {login + "@example.org"}, "role": {"password_user"},
	})
	if err == nil && a.status != http.StatusSeeOther {
		d.t.Fatalf("adding %s: status %d, %s\n%s", login, a.status, a.location(), words(a.body))
	}
	return err == nil
}

// passLeases lets the leases run out that a dead process left on PostgreSQL,
// where another node might still be at work: those of letters and of connections.
// On SQLite the start does that.
func (m *machine) passLeases() {
	m.t.Helper()
	if m.database != "" {
		m.exec("pgx", m.database, `UPDATE outbox_letter SET lease_until = 1 WHERE state = 'sending'`)
		m.exec("pgx", m.database, `UPDATE mail_slot SET until = 1`)
	}
}

// passTokenLease is the same for the lease of a token, which no start ends: on a
// machine on which nothing runs.
func (m *machine) passTokenLease() {
	m.t.Helper()
	driver, source := "pgx", m.database
	if m.database == "" {
		driver, source = "sqlite", filepath.Join(m.data, "sealpost.db")
	}
	m.exec(driver, source, `UPDATE mail_token SET lease_until = 1`)
}

func (m *machine) exec(driver, source, statement string) {
	m.t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(m.t.Context(), statement); err != nil {
		m.t.Fatal(err)
	}
}

// settle waits until the journal says that the user's letter was accepted, or
// that there is none, and checks that the two were added together or not.
func (m *machine) settle(login string, there bool) {
	m.t.Helper()
	address := login + "@example.org"
	deadline := time.Now().Add(patience)
	for {
		letters := sayJSON[operator.JournalPage](m, "mail", "journal", "--text", address).Letters
		added := sayJSON[operator.AuditPage](m, "audit", "list", "--text", login, "--action", "user.invited").Entries
		if len(letters) != len(added) {
			m.t.Fatalf("%d letters and %d audit entries for %s: they belong together", len(letters), len(added), login)
		}
		if there != (len(letters) == 1) {
			m.t.Fatalf("%d letters for %s, there is to be one: %v", len(letters), login, there)
		}
		if !there || letters[0].State == "accepted" {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the letter for %s is %s", login, letters[0].State)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// sameLetter checks that copies are one letter: the same bytes, the same
// Message-ID.
func sameLetter(t *testing.T, copies []taken) {
	t.Helper()
	for _, c := range copies {
		if c.messageID == "" || c.messageID != copies[0].messageID {
			t.Errorf("a copy has the Message-ID %q, the first %q", c.messageID, copies[0].messageID)
		}
		if !bytes.Equal(c.body, copies[0].body) {
			t.Errorf("a copy has other bytes:\n%s\n%s", c.body, copies[0].body)
		}
	}
}

// Whenever the server is killed, what it acknowledged is there afterwards.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 2
	if peers.Torture() {
		rounds = 40
	}
	engines(t, func(t *testing.T, engine store.Engine) {
		box := newMailbox(t)
		m := newMachine(t, engine)
		m.seed(box.port)
		grace := newDesk(t, m.url())
		var acknowledged []string
		for round := range rounds {
			p := m.start("")
			m.passLeases()
			if round == 0 {
				grace.signIn("grace", gracePassword)
			}
			kill := time.AfterFunc(time.Duration(20+round*173%400)*time.Millisecond, p.kill)
			for n := 0; ; n++ {
				login := fmt.Sprintf("ada-%d-%d", round, n)
				if !grace.adds(login) {
					break
				}
				acknowledged = append(acknowledged, login)
			}
			kill.Stop()
			<-p.done
		}
		p := m.start("")
		m.passLeases()
		for _, login := range acknowledged {
			sameLetter(t, box.wait(t, login+"@example.org", 1))
		}
		p.stop()
		t.Logf("%d users were acknowledged in %d rounds", len(acknowledged), rounds)
		if verdict := sayJSON[operator.AuditVerified](m, "audit", "verify"); !verdict.OK {
			t.Errorf("the audit log is broken: %+v", verdict)
		}
	})
}

// tokenKills are moments at which the server dies while it gets a token.
var tokenKills = []struct {
	name string
	// lost kills it while the authority has its request: the answer is lost.
	lost bool
}{
	{"token.asked", false},
	{"the answer", true},
	{"token.stored", false},
}

// Whenever the server is killed while it gets a token, the sign-in survives, and
// every letter that was acknowledged comes once.
func TestKilledWhileATokenIsRenewed(t *testing.T) {
	engines(t, func(t *testing.T, engine store.Engine) {
		// For the services time stands still, so that a token that the server
		// thinks over lives on.
		now := time.Now()
		stand := oauthtest.Start(t, oauthtest.Options{Now: func() time.Time { return now }, TokenLife: time.Second, Limits: &oauthtest.Limits{}})
		m := newMachine(t, engine)
		authority := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(authority, stand.CA().PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		m.env = []string{"SEALPOST_MAIL_OAUTH_AUTHORITIES=" + stand.Host(), "SSL_CERT_FILE=" + authority, "SSL_CERT_DIR=" + t.TempDir()}
		m.seed(1)
		stand.Register(m.url() + mail.RedirectOwn)
		grace := newDesk(t, m.url())
		p := m.start("")
		grace.signIn("grace", gracePassword)
		grace.signsIn(stand, with(exchangeAt(stand, m.url()), "pace_per_minute", "6000"), oauthtest.Alerts)
		waitLetter(t, stand, grace.invitesOne("first"))
		p.stop()
		for i, kill := range tokenKills {
			t.Run(kill.name, func(t *testing.T) {
				m.t, grace.t = t, t
				failpoint, asked := kill.name, stand.Count("refresh_token")
				release := func() {}
				var waits <-chan struct{}
				if kill.lost {
					failpoint = ""
					waits, release = stand.Slow()
				}
				p := m.start(failpoint)
				if kill.lost {
					go func() {
						<-waits
						p.kill()
					}()
				}
				acknowledged := grace.addsUntil(p, fmt.Sprintf("ada-%d", i))
				release()
				m.passTokenLease()
				p = m.start("")
				m.passLeases()
				for _, address := range acknowledged {
					waitLetter(t, stand, address)
				}
				grace.state("good")
				p.stop()
				if n := stand.Count("refresh_token") - asked; n == 0 {
					t.Error("no token was asked for")
				}
			})
		}
		m.t = t
		if verdict := sayJSON[operator.AuditVerified](m, "audit", "verify"); !verdict.OK {
			t.Errorf("the audit log is broken: %+v", verdict)
		}
	})
}

// addsUntil adds users until the server is dead, and returns the addresses of
// those of whom that was acknowledged.
func (d *desk) addsUntil(p *process, prefix string) []string {
	d.t.Helper()
	var all []string
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		login := fmt.Sprintf("%s-%d", prefix, len(all))
		if !d.adds(login) {
			<-p.done
			return all
		}
		all = append(all, login+"@example.org")
	}
	d.t.Fatalf("the server lives on\n%s", p.log)
	return nil
}
