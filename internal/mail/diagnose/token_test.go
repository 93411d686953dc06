package diagnose_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/token"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/secret"
)

// tokens is a rig before the services of Microsoft and Google.
type tokens struct {
	*rig
	stand *oauthtest.Stand
	// away are hosts that cannot be connected to.
	away string
}

func withTokens(t *testing.T) *tokens {
	t.Helper()
	r := &tokens{rig: plain(t)}
	// TLS looks at the clock of this machine; the stand-in's follows the test's.
	r.stand = oauthtest.Start(t, oauthtest.Options{Now: r.clock.Now})
	authorities, err := oauth.NewAuthorities(nil)
	r.must(err)
	table, err := verdict.New()
	r.must(err)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(address); host == r.away {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return r.stand.Dial(ctx, network, address)
	}
	client := oauth.NewClient(oauth.Config{Authorities: authorities, Roots: r.stand.Roots(), Dial: dial, Now: r.clock.Now})
	t.Cleanup(client.HTTP().CloseIdleConnections)
	keeper := token.New(token.Config{DB: r.db, Keys: r.mailConfig.Keys, Client: client, Now: r.clock.Now})
	t.Cleanup(func() { r.must(keeper.Close(context.WithoutCancel(t.Context()))) })
	r.mailConfig.Roots, r.mailConfig.Dial = r.stand.Roots(), dial
	r.mailConfig.OAuth, r.mailConfig.Authorities, r.mailConfig.Tokens, r.mailConfig.Table = client, authorities, keeper, table
	r.mail = mail.New(r.mailConfig)
	r.config.Mail = r.mail
	r.doctor, err = diagnose.New(r.config)
	r.must(err)
	return r
}

// app is Exchange Online without a person.
func app(edit func(*mail.Change)) mail.Change {
	c := mail.Change{
		Kind: mail.KindMicrosoft, Host: "smtp.office365.com", Port: 587, SenderAddress: oauthtest.Alerts, SenderName: "Example Vault",
		OAuth: mail.OAuth{Settings: oauth.Settings{
			Cloud: "global", Grant: oauth.Application, Tenant: oauthtest.Contoso, ClientID: oauthtest.ClientID, ClientAuth: oauth.BySecret,
		}},
		Client:   mail.Password{Action: mail.Replace, Value: secret.New(oauthtest.ClientSecret)},
		Timeouts: smtp.Timeouts{Greeting: 2 * time.Second, Command: 5 * time.Second},
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

// A test of a server that wants a token shows who gave it out and for whom, and
// sends a letter, on each of the ways.
func TestTokensAreShownAndNeverTold(t *testing.T) {
	for _, tt := range []struct {
		what   string
		change func(r *tokens) mail.Change
		want   string
		// reach is the title of the first step, token what the second says,
		// via where the letter arrives.
		reach, token, via string
	}{
		{
			"an application over SMTP", func(*tokens) mail.Change { return app(nil) },
			"authority:ok token:warn resolve:ok connect:ok greeting:ok tls:ok hello:ok signin:ok sender:ok recipient:ok mail:ok",
			"Reach Microsoft", "For " + oauthtest.Alerts + ". Tenant " + oauthtest.Contoso + ". Good for 75 minutes.", "exchange",
		},
		{
			"an application through Graph", func(*tokens) mail.Change { return app(func(c *mail.Change) { c.OAuth.Via = mail.ViaGraph }) },
			"authority:ok token:ok connect:ok tls:ok mail:ok",
			"Reach Microsoft", "For " + oauthtest.Alerts, "graph",
		},
		{
			"a service account of Google", func(r *tokens) mail.Change {
				return app(func(c *mail.Change) {
					c.Kind, c.Host, c.Security, c.Auth, c.SenderAddress = mail.KindSMTP, "smtp.gmail.com", smtp.STARTTLS, mail.AuthOAuth, oauthtest.Robot
					c.OAuth = mail.OAuth{Settings: oauth.Settings{Provider: oauth.Google, Grant: oauth.ServiceAccount}}
					c.Client.Value = secret.FromBytes(r.stand.Delegate(r.t))
				})
			},
			"authority:ok token:ok resolve:ok connect:ok greeting:ok tls:ok hello:ok signin:ok sender:ok recipient:ok mail:ok",
			"Reach Google", "For " + oauthtest.Robot, "gmail",
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := withTokens(t)
			report := r.run(t.Context(), tt.change(r))
			if got := states(report); got != tt.want || !report.Passed {
				t.Fatalf("got  %s\nwant %s\n%+v", got, tt.want, report)
			}
			reach, got := step(t, report, diagnose.StepAuthority), step(t, report, diagnose.StepToken)
			if reach.Title != tt.reach || !strings.Contains(reach.Detail, "TLS 1.3") || !strings.HasPrefix(got.Detail, tt.token) {
				t.Errorf("got %q, %q, %q", reach.Title, reach.Detail, got.Detail)
			}
			if letters := r.stand.Letters(); len(letters) != 1 || letters[0].Via != tt.via || fmt.Sprint(letters[0].To) != "["+to+"]" {
				t.Errorf("got %+v", letters)
			}
			if tt.via != "graph" {
				if s := step(t, report, diagnose.StepSignIn); !strings.Contains(s.Detail, " as ") {
					t.Errorf("the sign-in says %q", s.Detail)
				}
			}
			r.keepsQuiet(report)
		})
	}
}

// Exchange looks at the older rights of an application, and at no role of its
// own, once the token names Entra's permission. Who gave both learns it from the
// test; who gave one is told nothing of it.
func TestThePermissionThatOutdoesTheRoleIsWarnedOf(t *testing.T) {
	for _, tt := range []struct {
		what          string
		roles, scoped []string
		full          []string
		want          string
	}{
		{"the permission beside a role", []string{"SMTP.SendAsApp"}, []string{oauthtest.Alerts}, nil, "warn"},
		{"the permission with its rights", []string{"SMTP.SendAsApp"}, nil, []string{oauthtest.Alerts}, "warn"},
		{"a role alone", nil, []string{oauthtest.Alerts}, nil, "ok"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := withTokens(t)
			a := r.stand.App(oauthtest.ClientID)
			a.Roles, a.Scoped, a.FullAccess = tt.roles, tt.scoped, tt.full
			r.stand.PutApp(a)
			report := r.run(t.Context(), app(nil))
			got := step(t, report, diagnose.StepToken)
			if string(got.State) != tt.want || (tt.want == "warn") != strings.Contains(got.Advice, "RBAC for Applications") {
				t.Errorf("the token: %s, %q", got.State, got.Advice)
			}
			if bad := tt.full == nil && tt.roles != nil; report.Passed == bad {
				t.Errorf("passed %v: %s", report.Passed, states(report))
			}
			r.keepsQuiet(report)
		})
	}
}

// keepsQuiet looks for what must not be in a report: the stand-in's tokens and
// what proves the client.
func (r *tokens) keepsQuiet(report diagnose.Report) {
	r.t.Helper()
	text := fmt.Sprintf("%+v %+v", report, r.told)
	for _, canary := range []string{oauthtest.ClientSecret, "eyJ", "Bearer e", "PRIVATE KEY", "dXNlcj0"} {
		if strings.Contains(text, canary) {
			r.t.Errorf("%s is told in %s", canary, text)
		}
	}
}

// Each way in which tokens go wrong ends at its step with what it means, what
// to do and the ids that support asks for.
func TestFailuresOfTokens(t *testing.T) {
	const before = "authority:ok token:warn resolve:ok connect:ok greeting:ok tls:ok hello:ok "
	for _, tt := range []struct {
		what   string
		rig    func(r *tokens)
		change func(*mail.Change)
		want   string
		// detail, advice, command, link and raw are words of the failed step.
		detail, advice, command, link, raw string
	}{
		{
			what: "no way to the authority", rig: func(r *tokens) { r.away = "login.microsoftonline.com" },
			want: "authority:bad", detail: "login.microsoftonline.com", advice: "Allow HTTPS", raw: "cannot be connected to",
		},
		{
			what: "a wrong client secret", change: func(c *mail.Change) { c.Client.Value = secret.New("wrong") },
			want: "authority:ok token:bad", detail: "client secret is wrong", advice: "Value", link: "code=7000215", raw: "AADSTS7000215",
			command: "az ad app credential reset --id " + oauthtest.ClientID,
		},
		{
			what: "an expired client secret", rig: func(r *tokens) { r.stand.ExpireSecret(oauthtest.ClientID, oauthtest.ClientSecret) },
			want: "authority:ok token:bad", detail: "has expired", advice: "new client secret", link: "code=7000222", raw: "Trace ID",
		},
		{
			what: "a tenant that is not there", change: func(c *mail.Change) { c.OAuth.Tenant = "nowhere.example" },
			want: "authority:ok token:bad", detail: "no tenant with this ID", advice: "tenant ID", raw: "AADSTS90002",
		},
		{
			what: "nobody signed in", change: func(c *mail.Change) { c.OAuth.Grant = oauth.Consent },
			want: "authority:ok token:bad", detail: "Nobody has signed in", advice: "Sign in as " + oauthtest.Alerts,
		},
		{
			what: "authenticated SMTP is off", rig: func(r *tokens) {
				u := r.stand.User(oauthtest.Alerts)
				u.SMTP = oauthtest.Closed
				r.stand.PutUser(u)
			},
			want: before + "signin:bad", detail: "SMTP", advice: "mailbox", raw: "535 5.7.139", command: "Set-CASMailbox " + oauthtest.Alerts,
		},
		{
			what: "no rights on the mailbox", rig: func(r *tokens) {
				a := r.stand.App(oauthtest.ClientID)
				a.FullAccess, a.Scoped = nil, nil
				r.stand.PutApp(a)
			},
			want: before + "signin:ok sender:ok recipient:ok mail:bad", detail: "mailbox",
		},
		{
			what: "Graph says no", change: func(c *mail.Change) { c.OAuth.Via = mail.ViaGraph }, rig: func(r *tokens) {
				r.stand.FailGraph(oauthtest.Failure{Status: 403, Body: `{"error":{"code":"ErrorSendAsDenied","message":"not allowed"}}`})
			},
			want: "authority:ok token:ok connect:ok tls:ok mail:bad", detail: "send as", advice: "Send As", raw: "403",
		},
		{
			what: "no way to Graph", change: func(c *mail.Change) { c.OAuth.Via = mail.ViaGraph }, rig: func(r *tokens) { r.away = "graph.microsoft.com" },
			want: "authority:ok token:ok connect:bad", detail: "port", advice: "Allow HTTPS from this server to graph.microsoft.com",
		},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := withTokens(t)
			if tt.rig != nil {
				tt.rig(r)
			}
			report := r.run(t.Context(), app(tt.change))
			got := states(report)
			if !strings.HasPrefix(got, tt.want) || report.Passed {
				t.Fatalf("got  %s\nwant %s\n%+v", got, tt.want, report)
			}
			for _, bad := range report.Steps {
				if bad.State != diagnose.Bad {
					continue
				}
				for _, w := range [][2]string{{bad.Detail, tt.detail}, {bad.Advice, tt.advice}, {bad.Command, tt.command}, {bad.Link, tt.link}, {bad.Raw, tt.raw}} {
					if !strings.Contains(w[0], w[1]) {
						t.Errorf("got %q, want %q in %+v", w[0], w[1], bad)
					}
				}
			}
			if len(r.stand.Letters()) != 0 {
				t.Error("a letter left")
			}
			r.keepsQuiet(report)
		})
	}
}
