package app

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/mail/smtptest"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

const withTwo = `
version: 1
access_url: https://vault.example.org
mail:
  host: 127.0.0.1
  port: %d
  security: none
  sender: {address: vault@example.org}
  second:
    host: 127.0.0.1
    port: %d
    security: none
    sender: {address: vault@example.org}
  fallback: at_once
  routes: ["*.example.net"]
`

// cable is a network of which a part can be cut.
type cable struct {
	mu    sync.Mutex
	cut   string // the port that nothing gets to
	conns map[string][]net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if port == c.cut {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	c.conns[port] = append(c.conns[port], conn)
	return conn, err
}

// set cuts a port off, and lets what was cut off before go on.
func (c *cable) set(port string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = port
	for _, conn := range c.conns[port] {
		_ = conn.Close() // it may be closed
	}
}

// Two servers in the whole product: the first one goes away, the second sends its
// letters, and the first gets them back.
func TestASecondMailServer(t *testing.T) {
	each(t, func(t *testing.T, cfg config.Config) {
		clock, net := storetest.NewClock(), &cable{conns: map[string][]net.Conn{}}
		first, second := smtptest.StartSink(t, smtptest.SinkConfig{}), smtptest.StartSink(t, smtptest.SinkConfig{})
		d := open(t, cfg, Outside{Now: clock.Now, Dial: net.dial})
		apply(t, d.app, fmt.Sprintf(withTwo, first.Port(), second.Port()), nil)
		grace := "version: 1\nusers:\n  - {login: %s, name: %s, email: %s, role: password_user}\n"
		add := func(login, address string) {
			t.Helper()
			apply(t, d.app, fmt.Sprintf(grace, login, login, address), nil)
		}
		add("ada", "ada@example.org")
		first.Wait(t, 1)
		add("alan", "alan@deep.example.net")
		second.Wait(t, 1)

		// The shell reaches each of both.
		tested := do[operator.MailTested](t, d.app, operator.CmdMailTest, operator.MailTest{To: "grace@example.com", Server: "second"})
		if second.Wait(t, 2); !tested.Report.Passed || len(first.Letters()) != 1 {
			t.Errorf("the test of the second server passed: %v, with %d letters at the first", tested.Report.Passed, len(first.Letters()))
		}
		if _, err := d.app.Door().Execute(t.Context(), shell, operator.CmdMailTest, []byte(`{"to":"a@example.org","server":"third"}`), mute{}); err == nil {
			t.Error("there is a third server")
		}
		status := func() operator.MailStatus {
			return do[operator.MailStatus](t, d.app, operator.CmdMailStatus, struct{}{})
		}
		net.set(fmt.Sprint(first.Port()))
		add("grace", "grace@example.org")
		until(t, "the pause", func() bool {
			clock.Advance(10 * time.Second)
			return status().State == "paused"
		})
		second.Wait(t, 3)
		if st := status(); !st.Covered || st.Second == nil || st.Second.State != "working" || st.Fallback != "at_once" || st.Routes != 1 {
			t.Errorf("mail status says %+v, %+v", st, st.Second)
		}
		// The journal names the server that took a letter, and that of a test.
		through := func(server string) (all []string) {
			found := do[operator.JournalPage](t, d.app, operator.CmdMailJournal, operator.MailJournal{Server: server, State: "accepted"})
			for _, l := range found.Letters {
				if l.Tried != server {
					t.Errorf("the letter to %s was taken by %q, and is listed with %s", l.To, l.Tried, server)
				}
				all = append(all, l.To)
			}
			return all
		}
		until(t, "the outcome", func() bool { return len(through("second")) == 3 })
		if got := strings.Join(through("second"), " ") + "; " + strings.Join(through("main"), " "); got != "grace@example.org grace@example.com alan@deep.example.net; ada@example.org" {
			t.Errorf("the servers took %s", got)
		}
		audited := func(action string) int {
			page, err := d.app.audit.Search(t.Context(), shell, audit.Filter{Action: action})
			if err != nil {
				t.Fatal(err)
			}
			return len(page.Entries)
		}
		until(t, "the entry of the takeover", func() bool { return audited("mail.taken_over") == 1 })

		net.set("")
		until(t, "the probe", func() bool {
			clock.Advance(20 * time.Second)
			return status().State == "working"
		})
		add("edsger", "edsger@example.org")
		first.Wait(t, 2)
		until(t, "the entry of the end", func() bool { return audited("mail.given_back") == 1 })
		got := map[string]int{}
		for _, l := range append(first.Letters(), second.Letters()...) {
			got[strings.Join(l.To, ",")]++
		}
		for who, n := range got {
			if n != 1 {
				t.Errorf("%s got %d letters", who, n)
			}
		}
		if len(got) != 5 {
			t.Errorf("letters went to %v", got)
		}
	})
}
