package blueprint_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/blueprint"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// whole is a file that says all there is to say.
const whole = `
version: 1
access_url: https://vault.example.org:7272/
organisation: Example Ltd
users:
  - {login: Grace, name: Grace Hopper, email: grace@example.org, role: privileged_administrator}
  - {login: ada, name: Ada Lovelace, email: ada@example.org, role: password_user}
  - {login: gone, name: Gone, email: gone@example.org, role: password_user, disabled: true}
resources:
  - name: Mail relay
    owner: grace
    type: Mail server
    address: mail.example.org
    notes: |
      Two lines
      of notes.
    ask_reason: true
    accounts:
      - {name: sealpost@example.org, password: env:RELAY, notes: for letters}
      - {name: postmaster}
mail:
  host: Mail.Example.org
  security: tls
  sender: {address: vault@example.org, name: Vault}
  authentication:
    account: {resource: mail relay, account: sealpost@example.org}
  trusted_certificates: [file:ca.pem]
`

func TestAFileIsApplied(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:RELAY": []byte("canary-1"), "file:ca.pem": certificate(r.t, "Example CA")}
		before := r.rows()
		p, err := r.plan(whole, s)
		r.must(err)
		if len(p.Steps()) != 7 || r.rows() != before {
			r.t.Fatalf("%d steps, want 7; rows before and after the comparison:\n%s\n%s", len(p.Steps()), before, r.rows())
		}
		got := r.apply(whole, s)
		trusted := "trusted certificates: anchor "
		for i, want := range []string{
			"change general settings; Access URL: https://vault.example.org:7272; organisation: Example Ltd",
			`create user "grace"; name: Grace Hopper; e-mail: grace@example.org; role: Privileged Administrator; an invitation is sent`,
			`create user "ada"; name: Ada Lovelace; e-mail: ada@example.org; role: Password User; an invitation is sent`,
			`create resource "Mail relay"; owner: grace; type: Mail server; address: mail.example.org; notes are added; asks for a reason`,
			`create account "sealpost@example.org" of resource "Mail relay"; notes are added; password: from env:RELAY`,
			`create account "postmaster" of resource "Mail relay"`,
			"create mail server; mail server: other; server name: mail.example.org; port: 587; secure connection: tls; " +
				"sender address: vault@example.org; sender name: Vault; sign-in: a stored account; account: mail relay / sealpost@example.org; " + trusted,
		} {
			if i >= len(got) || !strings.HasPrefix(got[i], want) {
				r.t.Errorf("step %d: got %q, want %q", i+1, got[min(i, len(got)-1)], want)
			}
		}
		if !strings.Contains(got[6], "saved without a test") {
			r.t.Errorf("nothing tells that the mail server is untested: %q", got[6])
		}
		if text := strings.Join(got, "\n"); strings.Contains(text, "canary") {
			r.t.Errorf("a password is shown:\n%s", text)
		}
		if got, want := r.actions(), []string{
			"settings.edited General settings", "user.invited grace", "user.invited ada", "resource.added Mail relay",
			"account.added Mail relay / sealpost@example.org", "password.set Mail relay / sealpost@example.org",
			"account.added Mail relay / postmaster", "mail.saved_untested mail.example.org:587",
		}; !slices.Equal(got, want) {
			r.t.Errorf("audited: got %q, want %q", got, want)
		}
		profile, set, err := r.Mail.Active(r.ctx())
		r.must(err)
		login, password, _, err := r.Vault.CurrentCredential(r.ctx(), profile.AccountID)
		r.must(err)
		if !set || login != "sealpost@example.org" || password.Reveal() != "canary-1" || profile.State != mail.Working {
			r.t.Errorf("the mail server signs in as %q; %+v", login, profile)
		}
		r.settled(whole, s)
	})
}

func TestAChangedFileNamesTheDifferences(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:RELAY": []byte("canary-1"), "file:ca.pem": certificate(r.t, "Example CA")}
		r.apply(whole, s)
		changed := strings.NewReplacer(
			"Ada Lovelace", "Ada King", "role: password_user}\n  - {login: gone", "role: password_auditor, disabled: true}\n  - {login: gone",
			"address: mail.example.org", "address: relay.example.org", "ask_reason: true", "ask_reason: false",
			"{name: postmaster}", "{name: postmaster, password: env:POST}", "notes: for letters", "notes: for all letters",
			"name: Vault}", "name: The vault}", "Example Ltd", "Example GmbH",
		).Replace(whole)
		s["env:RELAY"], s["env:POST"] = []byte("canary-2"), []byte("canary-3")
		got := r.apply(changed, s)
		want := []string{
			"change general settings; organisation: Example Ltd becomes Example GmbH",
			"change mail server; sender name: Vault becomes The vault; saved without a test: run sealpost mail test, or test it on the settings page",
			`change user "ada"; name: Ada Lovelace becomes Ada King; role: Password User becomes Password Auditor; is disabled and signed out`,
			`change resource "Mail relay"; address: mail.example.org becomes relay.example.org; asks for no reason any more`,
			`change account "sealpost@example.org" of resource "Mail relay"; notes change; password: set from env:RELAY`,
			`change account "postmaster" of resource "Mail relay"; password: set from env:POST`,
		}
		if !slices.Equal(got, want) {
			r.t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		r.settled(changed, s)

		// Left out, a user stays disabled.
		r.settled(strings.Replace(changed, ", disabled: true}\n  - {login: gone", "}\n  - {login: gone", 1), s)
		enabled := r.apply(strings.Replace(changed, "disabled: true}\n  - {login: gone", "disabled: false}\n  - {login: gone", 1), s)
		if want := []string{`change user "ada"; is enabled`}; !slices.Equal(enabled, want) {
			r.t.Errorf("got %q, want %q", enabled, want)
		}
	})
}

func TestAPasswordIsSetOnlyWhereItDiffers(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:RELAY": []byte("canary-1"), "file:ca.pem": certificate(r.t, "Example CA")}
		versions := func() int {
			r.t.Helper()
			resource, err := r.Vault.FindResource(r.ctx(), root, "grace", "Mail relay")
			r.must(err)
			account, err := r.Vault.FindAccount(r.ctx(), root, resource.ID, "sealpost@example.org")
			r.must(err)
			history, err := r.Vault.History(r.ctx(), root, account.ID)
			r.must(err)
			if history[0].Reason != "Set-up file" {
				r.t.Errorf("the history says %q", history[0].Reason)
			}
			return len(history)
		}
		r.apply(whole, s)
		r.apply(whole, s)
		if n := versions(); n != 1 {
			r.t.Errorf("applied twice, the account has had %d passwords", n)
		}
		s["env:RELAY"] = []byte("canary-2")
		r.apply(whole, s)
		if n := versions(); n != 2 {
			r.t.Errorf("with another password, the account has had %d", n)
		}
	})
}

func TestWhatIsNotMentionedStays(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:RELAY": []byte("canary-1"), "file:ca.pem": certificate(r.t, "Example CA"), "file:new.pem": certificate(r.t, "New CA")}
		r.apply(whole, s)
		for what, file := range map[string]string{
			"nothing":                "version: 1",
			"a login":                "version: 1\nusers: [{login: ada}]",
			"a resource":             "version: 1\nresources: [{name: MAIL RELAY, owner: grace, accounts: [{name: Postmaster}]}]",
			"the mail server itself": strings.Replace(whole, "  trusted_certificates: [file:ca.pem]\n", "", 1),
		} {
			p, err := r.plan(file, s)
			r.must(err)
			if len(p.Steps()) != 0 {
				r.t.Errorf("a file that says %s wants %v", what, p.Steps())
			}
		}
	})
}

// Trust that is taken out of the file is withdrawn.
func TestTheFilesCertificatesAreTheTrustedOnes(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"file:pw": []byte("canary-1")}
		for _, name := range []string{"a", "b", "c"} {
			s[blueprint.Ref("file:"+name)] = certificate(r.t, "CA "+name)
		}
		for _, tt := range []struct {
			lines, want, gone string
		}{
			{"trusted_certificates: ['file:a', 'file:b']\n  pinned_certificates: ['file:c']", "CA a anchor, CA b anchor, CA c pin", ""},
			{"", "CA a anchor, CA b anchor, CA c pin", ""},
			{"trusted_certificates:", "CA a anchor, CA b anchor, CA c pin", ""},
			{"trusted_certificates: ['file:b']", "CA b anchor, CA c pin", "CA a"},
			{"pinned_certificates: ['file:b', 'file:c']", "CA b pin, CA c pin", ""},
			{"pinned_certificates: []", "", "CA b, CA c"},
		} {
			file := typed + "  " + tt.lines + "\n"
			got := strings.Join(r.apply(file, s), "\n")
			list, err := r.Mail.TrustList(r.ctx(), root)
			r.must(err)
			var now, gone []string
			for _, c := range list {
				now = append(now, c.Subject+" "+string(c.Mode))
			}
			slices.Sort(now)
			for _, name := range []string{"CA a", "CA b", "CA c"} {
				if strings.Contains(got, "trusted no more: "+name+" (") {
					gone = append(gone, name)
				}
			}
			if strings.Join(now, ", ") != tt.want || strings.Join(gone, ", ") != tt.gone {
				r.t.Errorf("%s: trusted are %q, want %q; told: %s", tt.lines, now, tt.want, got)
			}
			r.settled(file, s)
		}
	})
}

func TestTimeoutsAreBroughtToTheFile(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"file:pw": []byte("canary-1")}
		for _, tt := range []struct{ line, told, want string }{
			{"timeouts: {connect: 15s, final: 2m30s}", "connect timeout: 15s; final timeout: 2m30s", "{15s 0s 0s 2m30s}"},
			{"", "", "{15s 0s 0s 2m30s}"},
			{"timeouts: {greeting: 90s, command: 45s}", "connect timeout: 15s is removed; greeting timeout: 1m30s; command timeout: 45s; final timeout: 2m30s is removed", "{0s 1m30s 45s 0s}"},
			{"timeouts: {}", "greeting timeout: 1m30s is removed; command timeout: 45s is removed", "{0s 0s 0s 0s}"},
		} {
			file := typed + "  " + tt.line + "\n"
			got := strings.Join(r.apply(file, s), "\n")
			p, _, err := r.Mail.Active(r.ctx())
			r.must(err)
			if fmt.Sprint(p.Timeouts) != tt.want || !strings.Contains(got, tt.told) {
				r.t.Errorf("%s: the timeouts are %v, want %s; told: %s", tt.line, p.Timeouts, tt.want, got)
			}
			r.settled(file, s)
		}
		for line, want := range map[string]string{"connect: soon": "line ", "connect: 30": "line ", "final: 2h": "mail.timeouts.final"} {
			_, err := r.plan(typed+"  timeouts: {"+line+"}\n", s)
			if text := fmt.Sprint(err, fault.Fields(err)); !fault.Is(err, fault.KindInvalid) || !strings.Contains(text, want) {
				r.t.Errorf("%s: %s", line, text)
			}
		}
	})
}

const typed = `
version: 1
access_url: https://vault.example.org
mail:
  host: mail.example.org
  port: 2525
  security: ssl
  sender: {address: vault@example.org}
  authentication: {user: vault, password: file:pw}
`

func TestATypedPasswordIsCompared(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"file:pw": []byte("canary-1")}
		r.apply(typed, s)
		r.settled(typed, s)
		s["file:pw"] = []byte("canary-2")
		got := r.apply(typed, s)
		if len(got) != 1 || !strings.HasPrefix(got[0], "change mail server; password: set from file:pw") || strings.Contains(got[0], "canary") {
			r.t.Errorf("another password: %q", got)
		}
		// Sealed for the server that it was given for, the password is set
		// anew with another one.
		got = r.apply(strings.Replace(typed, "2525", "2526", 1), s)
		if len(got) != 1 || !strings.HasPrefix(got[0], "change mail server; port: 2525 becomes 2526; password: set from file:pw") {
			r.t.Errorf("another port: %q", got)
		}
		transport, err := r.Mail.Open(r.ctx())
		r.must(err)
		if transport.Config.Auth.Password.Reveal() != "canary-2" {
			r.t.Error("the password that is used is not the file's")
		}
	})
}

// TestATestStaysGood tests the settings, then applies files that leave what
// was tested alone, and one that does not.
func TestATestStaysGood(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"file:pw": []byte("canary-1")}
		r.apply(typed, s)
		now, _, err := r.Mail.Active(r.ctx())
		r.must(err)
		c := now.Change()
		draft, err := r.Mail.Draft(r.ctx(), root, c, "root@example.org")
		r.must(err)
		c.TestToken, err = r.Mail.Passed(r.ctx(), draft, now.ServerCertificateEnds)
		r.must(err)
		_, err = r.Mail.Save(r.ctx(), root, c)
		r.must(err)
		r.settled(typed, s)
		for _, tt := range []struct {
			from, to string
			tested   bool
		}{
			{"address: vault@example.org", "address: vault@example.org, name: Vault", true},
			{"2525", "2526", false},
		} {
			got := r.apply(strings.Replace(typed, tt.from, tt.to, 1), s)
			after, _, err := r.Mail.Active(r.ctx())
			r.must(err)
			if after.SavedAnyway() == tt.tested || strings.Contains(got[0], "without a test") == tt.tested {
				r.t.Errorf("%s: saved without a test %v: %q", tt.to, after.SavedAnyway(), got)
			}
		}
	})
}

func TestTheCaptureMailbox(t *testing.T) {
	each(t, func(r *rig) {
		const file = "version: 1\naccess_url: https://localhost:7272\nmail: {server: capture, sender: {address: vault@example.org}}"
		r.apply(file, nil)
		r.settled(file, nil)
		p, _, err := r.Mail.Active(r.ctx())
		r.must(err)
		if p.Kind != mail.KindCapture || p.SavedAnyway() {
			r.t.Errorf("got %+v", p)
		}
	})
}

func TestAnInvitationWithoutMailWaits(t *testing.T) {
	each(t, func(r *rig) {
		got := r.apply("version: 1\naccess_url: https://v.example.org\nusers: [{login: ada, name: Ada, email: ada@example.org, role: administrator}]", nil)
		if len(got) != 2 || !strings.Contains(got[1], "the invitation waits: No mail server is set up yet.") {
			r.t.Errorf("got %q", got)
		}
	})
}

func TestAFailedStepEndsTheRest(t *testing.T) {
	each(t, func(r *rig) {
		const file = `
version: 1
access_url: https://v.example.org
users:
  - {login: ada, name: Ada, email: same@example.org, role: administrator}
  - {login: bob, name: Bob, email: same@example.org, role: administrator}
  - {login: cyd, name: Cyd, email: cyd@example.org, role: administrator}
`
		p, err := r.plan(file, nil)
		r.must(err)
		n, err := p.Apply(r.ctx(), func(blueprint.Step) {})
		if n != 2 || !fault.Is(err, fault.KindConflict) || !strings.HasPrefix(fault.Sentence(err), `user "bob": `) {
			r.t.Fatalf("%d steps, %v", n, err)
		}
		mended := strings.Replace(file, "name: Bob, email: same@", "name: Bob, email: bob@", 1)
		if got := r.apply(mended, nil); len(got) != 2 {
			r.t.Errorf("the mended file wants %q", got)
		}
		r.settled(mended, nil)
	})
}

// An owner's role is not taken down by a file either, and the reason is told.
func TestAnOwnerKeepsARoleThatMayOwn(t *testing.T) {
	each(t, func(r *rig) {
		const file = `
version: 1
access_url: https://v.example.org
users: [{login: olga, name: Olga, email: olga@example.org, role: password_administrator}]
`
		r.apply(file+"resources: [{name: Router, owner: olga}]", nil)
		p, err := r.plan(strings.Replace(file, "role: password_administrator", "role: password_user", 1), nil)
		r.must(err)
		n, err := p.Apply(r.ctx(), func(blueprint.Step) {})
		const want = `user "olga": Olga owns one resource, which this role may not. Let them transfer that first, under Resources.`
		if n != 0 || fault.Sentence(err) != want {
			r.t.Errorf("%d steps, %q, want %q", n, fault.Sentence(err), want)
		}
	})
}

func TestAnOldPlanIsRefused(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:RELAY": []byte("canary-1"), "file:ca.pem": certificate(r.t, "Example CA")}
		r.apply(whole, s)
		ada, err := r.Users.UserByLogin(r.ctx(), root, "ada")
		r.must(err)
		resource, err := r.Vault.FindResource(r.ctx(), root, "grace", "mail relay")
		r.must(err)
		account, err := r.Vault.FindAccount(r.ctx(), root, resource.ID, "postmaster")
		r.must(err)
		for what, tt := range map[string]struct {
			file  string
			other func() error
		}{
			"a user": {"version: 1\nusers: [{login: ada, name: A}]", func() error {
				_, err := r.Users.EditUser(r.ctx(), root, ada.ID, identity.UserChange{NewUser: identity.NewUser{Login: "ada", Name: "B", Email: ada.Email, Role: ada.Role}})
				return err
			}},
			"a resource": {"version: 1\nresources: [{name: Mail relay, owner: grace, type: A}]", func() error {
				_, err := r.Vault.EditResource(r.ctx(), root, resource.ID, vault.Fields{Name: resource.Name, Type: "B"}, 0)
				return err
			}},
			"an account": {"version: 1\nresources: [{name: Mail relay, owner: grace, accounts: [{name: postmaster, notes: A}]}]", func() error {
				_, err := r.Vault.EditAccount(r.ctx(), root, account.ID, account.Name, "B", 0)
				return err
			}},
			"the mail server": {strings.Replace(whole, "name: Vault}", "name: A}", 1), func() error {
				p, _, err := r.Mail.Active(r.ctx())
				c := p.Change()
				c.SenderName, c.Anyway = "B", true
				_, err2 := r.Mail.Save(r.ctx(), root, c)
				return errors.Join(err, err2)
			}},
		} {
			p, err := r.plan(tt.file, s)
			r.must(err)
			r.must(tt.other())
			if n, err := p.Apply(r.ctx(), func(blueprint.Step) {}); n != 0 && what != "the mail server" || !fault.Is(err, fault.KindConflict) {
				r.t.Errorf("%s changed meanwhile: %d steps, %v", what, n, err)
			}
		}
	})
}

func TestOnlyTheOperatorApplies(t *testing.T) {
	each(t, func(r *rig) {
		by := actor.Actor{Kind: actor.KindUser, UserID: store.NewID(), Login: "grace", Role: actor.PrivilegedAdministrator}
		_, err := blueprint.Make(r.ctx(), r.Services, by, blueprint.Spec{Version: 1}, nil)
		_, compared := r.Mail.Differences(r.ctx(), by, mail.Change{Kind: mail.KindCapture})
		if !fault.Is(err, fault.KindDenied) || !fault.Is(compared, fault.KindDenied) {
			r.t.Errorf("a user applies: %v; compares: %v", err, compared)
		}
	})
}

func TestWhatDoesNotFitNamesTheLine(t *testing.T) {
	each(t, func(r *rig) {
		s := secrets{"env:RELAY": []byte("canary-1"), "file:ca.pem": certificate(r.t, "Example CA")}
		r.apply(whole, s)
		before := r.rows()
		const head = "version: 1\n"
		key := []byte("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n")
		for _, tt := range []struct {
			file, key, line string
		}{
			{head + "access_url: ftp://x\n", "access_url", "line 2: "},
			{head + "users:\n  - login: new\n    email: new@example.org\n    role: administrator\n", "users[0].name", "line 3: "},
			{head + "users:\n  - login: new\n    name: N\n    email: new\n    role: administrator\n", "users[0].email", "line 5: "},
			{head + "users:\n  - login: ada\n    role: emperor\n", "users[0].role", "line 4: "},
			{head + "resources:\n  - name: R\n    owner: nobody\n", "resources[0].owner", "line 4: "},
			{head + "resources:\n  - name: R\n    owner: ada\n", "resources[0].owner", "line 4: "},
			{head + "resources:\n  - name: R\n    owner: gone\nusers:\n  - {login: gone, disabled: true}\n", "resources[0].owner", "line 4: "},
			{head + "resources:\n  - name: R\n    owner: grace\n    url: 'javascript:alert(1)'\n", "resources[0].url", "line 5: "},
			{head + "resources:\n  - name: R\n    owner: grace\n    accounts:\n      - name: a\n        password: env:EMPTY\n", "resources[0].accounts[0].password", "line 7: "},
			{head + "mail:\n  host: m.example.org\n  port: 99999\n  sender: {address: v@example.org}\n", "mail.port", "line 4: "},
			{head + "mail:\n  host: m.example.org\n  sender:\n    address: nonsense\n", "mail.sender.address", "line 5: "},
			{head + "mail:\n  host: m.example.org\n  sender: {address: v@example.org}\n  security: none\n  authentication:\n    user: u\n    password: env:RELAY\n", "mail.send_in_clear", "line 2: "},
			{head + "mail:\n  host: m.example.org\n  sender: {address: v@example.org}\n  authentication:\n    account: {resource: none, account: a}\n", "mail.authentication.account", "line 6: "},
			{head + "mail:\n  host: m.example.org\n  sender: {address: v@example.org}\n  authentication:\n    account: {owner: grace, resource: none, account: a}\n", "mail.authentication.account", "line 6: "},
			{head + "mail:\n  host: m.example.org\n  sender: {address: v@example.org}\n  trusted_certificates:\n    - file:ca.pem\n    - file:key.pem\n", "mail.trusted_certificates[1]", "line 7: "},
			{head + "mail:\n  host: m.example.org\n  sender: {address: v@example.org}\n  pinned_certificates:\n    - file:missing.pem\n", "mail.pinned_certificates[0]", "line 6: "},
		} {
			s["file:key.pem"] = key
			_, err := r.plan(tt.file, s)
			fields := fault.Fields(err)
			if len(fields) != 1 || fields[0].Field != tt.key || !strings.HasPrefix(fields[0].Sentence, tt.line) {
				r.t.Errorf("%s\ngot %v at %v, want %s at %q", tt.file, err, fields, tt.line, tt.key)
			}
			if strings.Contains(fmt.Sprint(err), "canary") {
				r.t.Errorf("%s\nthe fault repeats a secret: %v", tt.file, err)
			}
		}
		if r.rows() != before {
			r.t.Errorf("a refused file changed something:\n%s\n%s", before, r.rows())
		}
		// All of it at once.
		_, err := r.plan(head+"access_url: x\nusers: [{login: new}]\nresources: [{name: R, owner: nobody}]\n", nil)
		if n := len(fault.Fields(err)); n < 5 {
			r.t.Errorf("%d faults are told, want all: %v", n, fault.Fields(err))
		}
	})
}

func TestInvitationsNeedAnAccessURL(t *testing.T) {
	each(t, func(r *rig) {
		for _, file := range []string{
			"version: 1\nusers: [{login: ada, name: Ada, email: ada@example.org, role: administrator}]",
			"version: 1\norganisation: Example",
		} {
			if _, err := r.plan(file, nil); !fault.Is(err, fault.KindInvalid) || !strings.Contains(fault.Sentence(err), "access_url") {
				r.t.Errorf("%s\n%v", file, err)
			}
		}
	})
}

func TestClearNeedsTheServersName(t *testing.T) {
	each(t, func(r *rig) {
		file := strings.Replace(typed, "security: ssl", "security: none\n  send_in_clear: mail.example.org", 1)
		s := secrets{"file:pw": []byte("canary-1")}
		r.apply(file, s)
		r.settled(file, s)
		r.settled(strings.Replace(file, "  send_in_clear: mail.example.org\n", "", 1), s)
	})
}
