package delivery_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
)

// office is a rig whose mail server is Exchange Online, or Microsoft Graph, with
// an application that signs in.
type office struct {
	*rig
	stand *oauthtest.Stand
	// away are hosts that cannot be connected to, by their number of tries.
	away map[string]int
}

func eachOffice(t *testing.T, o oauthtest.Options, f func(o *office)) {
	each(t, func(r *rig) { f(newOffice(r, o)) })
}

// eachWay is eachOffice over SMTP and through Graph.
func eachWay(t *testing.T, f func(o *office)) {
	for _, via := range []mail.Via{mail.ViaSMTP, mail.ViaGraph} {
		t.Run(string(via), func(t *testing.T) {
			eachOffice(t, oauthtest.Options{}, func(o *office) {
				o.save(func(c *mail.Change) {
					o.exchange(c)
					c.OAuth.Via = via
				})
				f(o)
			})
		})
	}
}

func newOffice(r *rig, opts oauthtest.Options) *office {
	opts.Now = r.clock.Now
	o := &office{rig: r, stand: oauthtest.Start(r.t, opts), away: map[string]int{}}
	authorities, err := oauth.NewAuthorities(nil)
	r.must(err)
	table, err := verdict.New()
	r.must(err)
	client := oauth.NewClient(oauth.Config{Authorities: authorities, Roots: o.stand.Roots(), Dial: o.dial, Now: r.clock.Now})
	r.t.Cleanup(client.HTTP().CloseIdleConnections)
	tokens := token.New(token.Config{DB: r.db, Keys: r.keys, Client: client, Now: r.clock.Now, Log: r.mailed.Log})
	r.t.Cleanup(func() { r.must(tokens.Close(context.Background())) })
	r.mailed.OAuth, r.mailed.Authorities, r.mailed.Tokens, r.mailed.Table = client, authorities, tokens, table
	r.mailed.Roots, r.mailed.Dial, r.mailed.Pace = o.stand.Roots(), o.dial, r.cfg.Pace
	r.mail = mail.New(r.mailed)
	r.cfg.Mail = r.mail
	r.engine = r.newEngine(r.cfg)
	r.save(o.exchange)
	return o
}

// exchange are the settings of an application that may send from a mailbox.
func (o *office) exchange(c *mail.Change) {
	*c = mail.Change{
		Kind: mail.KindMicrosoft, Host: "smtp.office365.com", Port: 587, SenderAddress: oauthtest.Alerts, SenderName: "Vault", Anyway: true,
		OAuth: mail.OAuth{Settings: oauth.Settings{
			Cloud: "global", Grant: oauth.Application, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID, ClientAuth: oauth.BySecret,
		}},
		Client: mail.Password{Action: mail.Replace, Value: secret.New(oauthtest.ClientSecret)},
	}
}

func (o *office) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	o.mu.Lock()
	n, away := o.away[host]
	if away {
		o.away[host] = n + 1
	}
	o.mu.Unlock()
	if away {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return o.stand.Dial(ctx, network, address)
}

// setAway makes a host unreachable, or reachable again, and returns how often it
// was tried in vain.
func (o *office) setAway(host string, away bool) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.away[host]
	delete(o.away, host)
	if away {
		o.away[host] = 0
	}
	return n
}

// took tells whether the stand-in has n letters.
func (o *office) took(n int) func() bool {
	return func() bool { return len(o.stand.Letters()) >= n }
}

// grants returns how often a token was asked for.
func (o *office) grants() int { return o.stand.Count("client_credentials") }

// wantKept checks that letters wait, for a pause where there is one, and that
// none failed or was put off.
func (o *office) wantKept(ids ...string) {
	o.t.Helper()
	state := outbox.Queued
	if o.profile().State == mail.Paused {
		state = outbox.Held
	}
	for _, id := range ids {
		o.want(id, state)
	}
	o.wantNoLoss()
}

func (o *office) wantNoLoss() {
	o.t.Helper()
	if failed, deferred := o.seen("letter", "failed"), o.seen("letter", "deferred"); failed+deferred != 0 {
		o.t.Errorf("%d letters failed, %d were put off", failed, deferred)
	}
}

// As many letters leave as a mailbox of Exchange Online may send, not one of
// them too much, and what is urgent does not wait for the others.
func TestAMailboxSendsAtItsPaceAndUrgentLettersFirst(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		n := many()
		ids := o.queue(n)
		took := o.pass(time.Minute, nil)
		urgent := o.add("locked-out", reset())
		var overtook time.Duration
		took += o.pass(time.Hour, func() bool {
			if overtook == 0 && o.row(urgent).State == outbox.Accepted {
				overtook = o.clock.Now().Sub(o.row(urgent).Added)
			}
			return o.took(n + 1)()
		})
		if overtook == 0 || overtook > 10*time.Second {
			o.t.Errorf("the password reset took %v", overtook)
		}
		want := time.Duration(n) * time.Minute / 25
		if took > want+5*time.Second || took < want-15*time.Second {
			o.t.Errorf("%d letters took %v, want about %v", n, took, want)
		}
		if n := o.stand.Throttled(oauthtest.Alerts); n != 0 {
			o.t.Errorf("%d times it was too much for the server", n)
		}
		for _, id := range ids {
			if row := o.want(id, outbox.Accepted); row.Attempts != 1 {
				o.t.Errorf("a letter took %d attempts", row.Attempts)
			}
		}
		if p := o.wantState(mail.Working); p.Problem != "" || o.audited("mail.paused") != 0 {
			o.t.Errorf("waiting counts as trouble: %s %s", p.Problem, p.Reason)
		}
		o.wantToday(n + 1)
	})
}

func TestATokenThatIsRefusedIsReplacedOnce(t *testing.T) {
	eachWay(t, func(o *office) {
		o.add("a", news())
		o.run()
		before := o.grants()
		o.clock.Advance(20 * time.Minute)
		o.stand.Invalidate()
		id := o.add("b", news())
		o.run()
		if row := o.want(id, outbox.Accepted); row.Attempts != 1 || o.grants() != before+1 {
			o.t.Errorf("it took %d attempts and %d tokens", row.Attempts, o.grants()-before)
		}
		if p := o.wantState(mail.Working); o.audited("mail.paused") != 0 || p.Problem != "" {
			o.t.Errorf("the profile shows %s", p.Problem)
		}
	})
}

// Where the next token is refused too, it is not the token.
func TestATokenThatIsRefusedAgainPauses(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		o.add("a", news())
		o.run()
		before := o.grants()
		tenant := o.stand.Tenant(oauthtest.Contoso)
		tenant.SMTPOff = true
		o.stand.PutTenant(tenant)
		o.clock.Advance(20 * time.Minute)
		ids := []string{o.add("b", news()), o.add("c", news())}
		o.run()
		if p := o.wantState(mail.Paused); !strings.Contains(p.Reply, "5.7.139") {
			o.t.Errorf("the profile shows %s: %s", p.Problem, p.Reply)
		}
		o.wantKept(ids...)
		if n := o.grants() - before; n != 1 {
			o.t.Errorf("%d tokens were asked for, want one", n)
		}
		tenant.SMTPOff = false
		o.stand.PutTenant(tenant)
		o.pass(2*time.Minute, o.took(3))
		for _, id := range ids {
			o.want(id, outbox.Accepted)
		}
	})
}

const authority = "login.microsoftonline.com"

// An authority that cannot be reached goes by: it is asked again now and then.
// Once letters have waited for five minutes everybody hears of it, once, and it
// ends by itself all the same.
func TestAnAuthorityThatIsAwayIsWaitedFor(t *testing.T) {
	eachWay(t, func(o *office) {
		o.setAway(authority, true)
		ids := []string{o.add("a", news()), o.add("b", news())}
		o.passBy(10*time.Second, 4*time.Minute+50*time.Second, nil)
		if p := o.wantState(mail.Working); !strings.HasPrefix(p.Problem, "grant-reach") || o.audited("mail.paused") != 0 {
			o.t.Errorf("before five minutes it shows %q and was paused %d times", p.Problem, o.audited("mail.paused"))
		}
		o.passBy(10*time.Second, 2*time.Hour, nil)
		p := o.wantState(mail.Paused)
		if !strings.HasPrefix(p.Problem, "grant-reach") || o.audited("mail.paused") != 1 {
			o.t.Errorf("it shows %q and was paused %d times", p.Problem, o.audited("mail.paused"))
		}
		o.wantKept(ids...)
		// Six tries at most, then probes after 1, 5, 15 and 60 minutes; whoever
		// keeps the tokens asks less often than it is asked.
		if tries := o.setAway(authority, false); tries < 4 || tries > 12 {
			o.t.Errorf("it was tried %d times in two hours", tries)
		}
		o.passBy(30*time.Second, 2*time.Hour, o.took(2))
		for _, id := range ids {
			o.want(id, outbox.Accepted)
		}
		if p := o.wantState(mail.Working); p.Problem != "" || o.audited("mail.resumed") != 1 {
			o.t.Errorf("the profile still shows %q; %d ends are told", p.Problem, o.audited("mail.resumed"))
		}
	})
}

// A paused profile whose probe meets an authority that is away shows what it was
// paused for, and asks no more than else.
func TestAProbeThatGoesByDoesNotSpin(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		app := o.stand.App(oauthtest.ClientID)
		o.stand.ExpireSecret(oauthtest.ClientID, oauthtest.ClientSecret)
		id := o.add("a", news())
		o.run()
		p := o.wantState(mail.Paused)
		if p.Remedy != verdict.RemedySettings || !strings.Contains(p.Reply, "AADSTS7000222") {
			o.t.Fatalf("the profile shows %s: %s", p.Problem, p.Reply)
		}
		o.setAway(authority, true)
		o.passBy(10*time.Second, 20*time.Minute, nil)
		if tries := o.setAway(authority, false); tries < 2 || tries > 12 {
			o.t.Errorf("the authority was tried %d times in 20 minutes", tries)
		}
		if again := o.wantState(mail.Paused); again.Problem != p.Problem {
			o.t.Errorf("the profile shows %s, want %s", again.Problem, p.Problem)
		}
		o.wantKept(id)
		o.stand.PutApp(app)
		o.passBy(30*time.Second, 2*time.Hour, o.took(1))
		o.want(id, outbox.Accepted)
	})
}

// What Microsoft says when it wants less, at every step where it says so.
func TestThrottlingSlowsDownAndCostsNoLetterAnAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verb, reply string
		least       time.Duration
	}{
		"connections": {"AUTH", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.", time.Minute},
		"greeting":    {"CONNECT", "451 4.7.500 Server busy. Please try again later", 15 * time.Minute},
		"letter":      {"MAIL", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", time.Minute},
		"content":     {"CONTENT", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", time.Minute},
		"busy":        {"RCPT", "451 4.7.652 The mail server has exceeded the maximum number of connections", 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			eachOffice(t, oauthtest.Options{}, func(o *office) {
				ids := []string{o.add("a", news()), o.add("b", news())}
				o.stand.SayNext(c.verb, c.reply)
				took := o.passBy(5*time.Second, time.Hour, o.took(2))
				if took < c.least || took > 2*c.least {
					o.t.Errorf("it took %v, want %v", took, c.least)
				}
				for _, id := range ids {
					o.want(id, outbox.Accepted)
				}
				o.wantNoLoss()
				if o.audited("mail.paused") != 0 {
					o.t.Error("it was paused")
				}
			})
		})
	}
}

func TestGraphIsLeftAloneAsLongAsItWants(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		o.save(func(c *mail.Change) {
			o.exchange(c)
			c.OAuth.Via = mail.ViaGraph
		})
		id := o.add("a", news())
		o.stand.FailGraph(oauthtest.Failure{
			Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"150"}},
			Body: `{"error":{"code":"ApplicationThrottled","message":"Application is over its MailboxConcurrency limit."}}`,
		})
		o.run()
		if p := o.wantState(mail.Working); p.Problem != "graph-throttled" {
			o.t.Errorf("the profile shows %q", p.Problem)
		}
		if took := o.passBy(5*time.Second, time.Hour, o.took(1)); took < 150*time.Second || took > 4*time.Minute {
			o.t.Errorf("it took %v, want 150 s", took)
		}
		o.want(id, outbox.Accepted)
		o.wantNoLoss()
	})
}

// Two refusals with a 5 in front are about the mailbox that sends.
func TestAMailboxThatMaySendNoMorePausesAndKeepsLetters(t *testing.T) {
	full := func(o *office) {
		u := o.stand.User(oauthtest.Alerts)
		u.Full = true
		o.stand.PutUser(u)
	}
	for name, c := range map[string]struct {
		options oauthtest.Options
		spoil   func(*office)
		row     string
	}{
		"quota": {oauthtest.Options{Limits: &oauthtest.Limits{PerDay: 1}}, func(*office) {}, "quota"},
		"full":  {oauthtest.Options{}, full, "full"},
	} {
		t.Run(name, func(t *testing.T) {
			eachOffice(t, c.options, func(o *office) {
				first := o.add("first", news())
				o.run()
				o.want(first, outbox.Accepted)
				c.spoil(o)
				o.clock.Advance(time.Hour)
				ids := o.queue(5)
				o.run()
				if p := o.wantState(mail.Paused); !strings.Contains(p.Problem, c.row) {
					o.t.Errorf("the profile shows %s: %s", p.Problem, p.Reply)
				}
				o.wantKept(ids...)
			})
		})
	}
}

// A refusal that looks as if it went by, three times in a row, does not.
func TestARefusalThatOnlyLooksPassingPauses(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		const logon = "430 4.2.0 STOREDRV; mailbox logon failure; failure code: MapiExceptionLogonFailed"
		for range 3 {
			o.stand.SayNext("CONTENT", logon)
		}
		ids := o.queue(2)
		o.passBy(10*time.Second, 10*time.Minute, nil)
		o.wantState(mail.Working)
		for _, id := range ids {
			o.want(id, outbox.Deferred)
		}
		third := o.add("third", news())
		o.pass(30*time.Second, nil)
		if p := o.wantState(mail.Paused); p.Problem != "ms-logon" {
			o.t.Errorf("the profile shows %s", p.Problem)
		}
		o.want(third, outbox.Held)
	})
}

// Letters over the connection of a token that ends are not lost.
func TestTokensThatEndSoonCarryAllLetters(t *testing.T) {
	eachOffice(t, oauthtest.Options{TokenLife: 2 * time.Minute}, func(o *office) {
		ids := o.queue(60)
		o.pass(10*time.Minute, o.took(60))
		for _, id := range ids {
			o.want(id, outbox.Accepted)
		}
		if n := o.grants(); n < 2 || n > 4 {
			o.t.Errorf("%d tokens for about two and a half minutes", n)
		}
		o.wantNoLoss()
	})
}

// Two nodes with a token that lives for a minute ask for few, and every letter
// comes once.
func TestTwoNodesShareTokensThatEndSoon(t *testing.T) {
	eachOffice(t, oauthtest.Options{TokenLife: time.Minute, Limits: &oauthtest.Limits{}}, func(o *office) {
		o.save(func(c *mail.Change) {
			o.exchange(c)
			c.Pace.PerMinute = 80
		})
		tokens := token.New(token.Config{DB: o.db, Keys: o.keys, Client: o.mailed.OAuth, Now: o.clock.Now, Log: o.mailed.Log})
		o.t.Cleanup(func() { o.must(tokens.Close(context.Background())) })
		mailed, cfg := o.mailed, o.cfg
		mailed.Tokens = tokens
		cfg.Mail = mail.New(mailed)
		const n = 200
		ids := o.queue(n)
		before := o.grants()
		took := o.pass(time.Hour, o.took(n), o.engine, o.newEngine(cfg))
		for _, id := range ids {
			if row := o.want(id, outbox.Accepted); row.Attempts != 1 {
				o.t.Errorf("a letter took %d attempts", row.Attempts)
			}
		}
		if got := len(o.stand.Letters()); got != n {
			o.t.Errorf("%d letters came, want %d", got, n)
		}
		const nodes = 2
		if asked, most := o.grants()-before, nodes*int(took/time.Minute+1); asked < 2 || asked > most {
			o.t.Errorf("%d tokens in %v, want 2 to %d", asked, took, most)
		}
		o.wantNoLoss()
	})
}

// A sign-in that is dropped by the server in the middle counts as what it is.
func TestALostAnswerThroughGraphIsUncertain(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		o.save(func(c *mail.Change) {
			o.exchange(c)
			c.OAuth.Via = mail.ViaGraph
		})
		o.stand.FailGraph(oauthtest.Failure{Late: true, Cut: true})
		id := o.add("a", news())
		o.run()
		o.want(id, outbox.Uncertain)
		o.wantToday(1)
		o.passBy(5*time.Second, 5*time.Minute, o.took(2))
		if row := o.want(id, outbox.Accepted); !row.MaybeSent {
			o.t.Error("the journal does not tell that it may have come twice")
		}
		letters := o.stand.Letters()
		if len(letters) != 2 || letters[0].MessageID != letters[1].MessageID {
			o.t.Errorf("got %d letters", len(letters))
		}
	})
}

// A number on a page that nobody vouches for keeps no mail for a day, and who
// saves other settings does not wait for it.
func TestNobodyIsLeftAloneForADay(t *testing.T) {
	eachOffice(t, oauthtest.Options{}, func(o *office) {
		change := func(c *mail.Change) {
			o.exchange(c)
			c.OAuth.Via = mail.ViaGraph
		}
		o.save(change)
		busy := oauthtest.Failure{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"86400"}}, Body: "<h1>Busy</h1>"}
		o.stand.FailGraph(busy)
		ids := []string{o.add("a", news())}
		o.run()
		if took := o.passBy(30*time.Second, 4*time.Hour, o.took(1)); took > 30*time.Minute {
			o.t.Errorf("it took %v, want 20 minutes", took)
		}
		o.stand.FailGraph(busy)
		ids = append(ids, o.add("b", news()))
		o.run()
		if wait := o.row(ids[1]).Due.Sub(o.clock.Now()); wait > 30*time.Minute {
			o.t.Errorf("the letter is due in %v", wait)
		}
		o.save(change)
		ids = append(ids, o.add("c", reset()))
		if took := o.passBy(5*time.Second, 4*time.Hour, o.took(2)); took > time.Minute {
			o.t.Errorf("after other settings were saved it took %v", took)
		}
		o.want(ids[2], outbox.Accepted)
	})
}
