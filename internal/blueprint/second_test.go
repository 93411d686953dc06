package blueprint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/blueprint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/servers"
)

const two = `version: 1
access_url: https://vault.example.org
mail:
  host: mail.example.org
  sender: {address: vault@example.org}
  authentication: {user: vault, password: env:FIRST}
  second:
    host: backup.example.net
    port: 465
    security: ssl
    sender: {address: vault@example.net}
    authentication: {user: backup, password: env:SECOND}
    pinned_certificates: [file:ca.pem]
  fallback: 15m
  routes: [Example.com, "*.example.com"]
`

// Invitations leave through the server of the same file: its steps come first,
// but where it signs in with an account that the file makes.
func TestTheMailServerComesBeforeInvitations(t *testing.T) {
	const people = `
users:
  - {login: grace, name: Grace, email: grace@example.org, role: privileged_administrator}
resources:
  - name: Relay
    owner: grace
    accounts: [{name: vault, password: env:FIRST}]
`
	each(t, func(r *rig) {
		s := secrets{"env:FIRST": []byte("one"), "env:SECOND": []byte("two"), "file:ca.pem": certificate(r.t, "CA")}
		order := func(file string) string {
			p, err := r.plan(file, s)
			r.must(err)
			var steps []string
			for _, st := range p.Steps() {
				steps = append(steps, st.What)
			}
			return strings.Join(steps, ", ")
		}
		const theirs = `user "grace", resource "Relay", account "vault" of resource "Relay"`
		if got := order(two + people); got != "general settings, mail server, second mail server, which mail server letters leave through, "+theirs {
			r.t.Errorf("the steps are %s", got)
		}
		byAccount := strings.Replace(two, "{user: vault, password: env:FIRST}", "{account: {resource: Relay, account: vault}}", 1)
		if got := order(byAccount + people); got != "general settings, "+theirs+", mail server, second mail server, which mail server letters leave through" {
			r.t.Errorf("with an account of the file the steps are %s", got)
		}
	})
}

func TestASecondMailServerIsSetUpAsCode(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:FIRST": []byte("one"), "env:SECOND": []byte("two"), "file:ca.pem": certificate(r.t, "CA")}
		p, err := r.plan(two, s)
		r.must(err)
		var steps []string
		for _, st := range p.Steps() {
			steps = append(steps, st.What)
		}
		if got := strings.Join(steps, ", "); got != "general settings, mail server, second mail server, which mail server letters leave through" {
			r.t.Errorf("the steps are %s", got)
		}
		r.apply(two, s)
		r.settled(two, s)
		p2, set, err := r.Second.Active(r.ctx())
		r.must(err)
		trusted, err := r.Second.TrustList(r.ctx(), root)
		r.must(err)
		if !set || p2.Server() != "backup.example.net:465" || p2.Username != "backup" || len(trusted) != 1 {
			r.t.Errorf("the second server is %+v, it trusts %d", p2, len(trusted))
		}
		have, err := r.Servers.Settings(r.ctx(), root)
		r.must(err)
		if have.After != 15*time.Minute || !slices.Equal(have.Routes, []string{"*.example.com", "example.com"}) {
			r.t.Errorf("the settings are %+v", have)
		}
		// What a file leaves out stays.
		one := two[:strings.Index(two, "  second:")]
		r.settled(one, s)
		r.apply(one+"  routes: []\n", s)
		if have, err = r.Servers.Settings(r.ctx(), root); err != nil || len(have.Routes) > 0 || have.After != 15*time.Minute {
			r.t.Errorf("%v: the settings are %+v", err, have)
		}
		r.must(r.Second.Remove(r.ctx(), root))
		_, err = r.Servers.Save(r.ctx(), root, servers.Settings{After: servers.Never})
		r.must(err)
		for _, tt := range []struct{ file, field, sentence string }{
			{one + "  routes: [example.com]\n", "mail.routes", "line 7: Describe the second mail server as well"},
			{one + "  fallback: 5m\n", "mail.fallback", "line 7: Describe the second mail server as well"},
			{strings.Replace(two, "Example.com", "exa mple", 1), "mail.routes", "Line 1 is no domain name."},
			{strings.Replace(two, "port: 465", "port: 99999", 1), "mail.second.port", "line 9: "},
		} {
			_, err := r.plan(tt.file, s)
			if f := fault.Fields(err); len(f) != 1 || f[0].Field != tt.field || !strings.Contains(f[0].Sentence, tt.sentence) {
				r.t.Errorf("%+v: want %s %q", f, tt.field, tt.sentence)
			}
		}
	})
}

func TestWhatIsWrongWithASecondMailServer(t *testing.T) {
	for _, tt := range []struct{ old, new, field string }{
		{"fallback: 15m", "fallback: soon", "mail.fallback"},
		{"    port: 465\n", "    port: 465\n    fallback: 5m\n", "mail.second"},
		{"    host: backup.example.net\n", "", "mail.second.host"},
		{"security: ssl", "security: strong", "mail.second.security"},
		{"{user: backup, password: env:SECOND}", "{user: backup}", "mail.second.authentication"},
	} {
		_, err := blueprint.Parse([]byte(strings.Replace(two, tt.old, tt.new, 1)))
		if f := fault.Fields(err); len(f) != 1 || f[0].Field != tt.field || !strings.HasPrefix(f[0].Sentence, "line ") {
			t.Errorf("%q: %+v, want it at %s", tt.new, f, tt.field)
		}
	}
}
