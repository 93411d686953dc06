package profile_test

import (
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/pace"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

func TestLettersLeaveAsFastAsTheProviderAllows(t *testing.T) {
	mailbox := pace.Limits{Connections: 2, PerMinute: 25, PerDay: 10000}
	for _, tt := range []struct {
		name string
		p    profile.Profile
		want pace.Limits
	}{
		{"Exchange Online", profile.Profile{Kind: profile.KindMicrosoft, Host: "any.example"}, pace.Limits{Connections: 2, PerMinute: 25, PerDay: 10000}},
		{"Exchange Online with a password", profile.Profile{Kind: profile.KindSMTP, Host: "smtp.office365.com"}, pace.Limits{Connections: 2, PerMinute: 25, PerDay: 10000}},
		{"Exchange Online for the US government", profile.Profile{Kind: profile.KindSMTP, Host: "SMTP.office365.us"}, mailbox},
		{"Exchange Online for the US military", profile.Profile{Kind: profile.KindSMTP, Host: "outlook-dod.office365.us"}, mailbox},
		{"Exchange Online in China", profile.Profile{Kind: profile.KindSMTP, Host: "smtp.partner.outlook.cn"}, mailbox},
		{"Exchange Online in China, as others call it", profile.Profile{Kind: profile.KindSMTP, Host: "partner.outlook.cn"}, mailbox},
		{"Exchange Online for old clients", profile.Profile{Kind: profile.KindSMTP, Host: "smtp-legacy.office365.com"}, mailbox},
		{"outlook.com", profile.Profile{Kind: profile.KindSMTP, Host: "smtp-mail.outlook.com"}, mailbox},
		{"a connector", profile.Profile{Kind: profile.KindSMTP, Host: "example-org.mail.protection.outlook.com"}, pace.Limits{Connections: 2}},
		{"High Volume Email", profile.Profile{Kind: profile.KindSMTP, Host: "smtp.hve.mx.microsoft"}, pace.Limits{Connections: 2}},
		{"High Volume Email by its old name", profile.Profile{Kind: profile.KindSMTP, Host: "smtp-hve.office365.com"}, pace.Limits{Connections: 2}},
		{"High Volume Email with a token", profile.Profile{Kind: profile.KindMicrosoft, Host: "smtp.hve.mx.microsoft"}, pace.Limits{Connections: 2}},
		{"Google's relay", profile.Profile{Kind: profile.KindSMTP, Host: "smtp-relay.gmail.com"}, pace.Limits{Connections: 2, PerDay: 10000}},
		{"Google's relay with a token", profile.Profile{Kind: profile.KindSMTP, Host: "smtp-relay.gmail.com", Auth: profile.AuthOAuth, OAuth: profile.OAuth{Settings: oauth.Settings{Provider: oauth.Google}}}, pace.Limits{Connections: 2, PerDay: 10000}},
		{"Google", profile.Profile{Kind: profile.KindSMTP, Host: "smtp.gmail.com"}, pace.Limits{Connections: 2, PerDay: 2000}},
		{"Google by its tokens", profile.Profile{Kind: profile.KindSMTP, Host: "any.example", Auth: profile.AuthOAuth, OAuth: profile.OAuth{Settings: oauth.Settings{Provider: oauth.Google}}}, pace.Limits{Connections: 2, PerDay: 2000}},
		{"a relay", profile.Profile{Kind: profile.KindSMTP, Host: "mail.example.org"}, pace.Limits{Connections: 4}},
		{"the capture mailbox", profile.Profile{Kind: profile.KindCapture}, pace.Limits{}},
		{"as typed", profile.Profile{Kind: profile.KindMicrosoft, Pace: pace.Limits{Connections: 1, PerMinute: 10, PerDay: 500}}, pace.Limits{Connections: 1, PerMinute: 10, PerDay: 500}},
	} {
		if got := tt.p.Limits(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A command that a person copies holds what is known, and nothing that a shell
// could take for something else.
func TestCommandsAreFilledIn(t *testing.T) {
	const command = "Grant SENDER MAILBOX ACCOUNT TENANT CLIENT_ID"
	byToken := func(sender, mailbox string) profile.Profile {
		return profile.Profile{SenderAddress: sender, Auth: profile.AuthOAuth, OAuth: profile.OAuth{Settings: oauth.Settings{
			Provider: oauth.Microsoft, Tenant: "example.org", ClientID: "c-1", Mailbox: mailbox,
		}}}
	}
	for _, tt := range []struct {
		name, want string
		p          profile.Profile
	}{
		{"a mailbox of its own", "Grant v@example.org v@example.org v@example.org example.org c-1", byToken("v@example.org", "")},
		{"a shared mailbox", "Grant v@example.org r@example.org r@example.org example.org c-1", byToken("v@example.org", "r@example.org")},
		{"a password", "Grant v@example.org robot robot TENANT CLIENT_ID", profile.Profile{SenderAddress: "v@example.org", Auth: profile.AuthTyped, Username: "robot"}},
		{"an account", "Grant v@example.org v@example.org ACCOUNT TENANT CLIENT_ID", profile.Profile{SenderAddress: "v@example.org", Auth: profile.AuthAccount}},
		{"a word for the shell", "Grant SENDER r@example.org r@example.org example.org c-1", byToken("$(x)@example.org", "r@example.org")},
		{"a quotation mark", "Grant SENDER MAILBOX ACCOUNT example.org c-1", byToken(`"a b"@example.org`, "")},
		{"an option", "Grant SENDER MAILBOX ACCOUNT example.org c-1", byToken("-Confirm@example.org", "")},
	} {
		if got := tt.p.Filled(command); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What an administrator of the tenant opens to consent names tenant and client,
// in the tenant's own cloud.
func TestTheAddressOfAConsentIsFilledIn(t *testing.T) {
	table, err := verdict.New()
	if err != nil {
		t.Fatal(err)
	}
	refused := table.DecideGrant(&oauth.Error{Stage: oauth.StageToken, Code: "access_denied", Numbers: []int{90094}, Status: 400}, oauth.Microsoft)
	for _, tt := range []struct {
		cloud string
		grant oauth.Grant
		host  string
		// remedy is what ends it: nobody signs in for an application.
		remedy verdict.Remedy
	}{
		{"global", oauth.Consent, "login.microsoftonline.com", verdict.RemedySignIn},
		{"gcc_high", oauth.Consent, "login.microsoftonline.us", verdict.RemedySignIn},
		{"global", oauth.Application, "login.microsoftonline.com", verdict.RemedySettings},
	} {
		p := profile.Profile{Kind: profile.KindMicrosoft, Auth: profile.AuthOAuth, OAuth: profile.OAuth{Settings: oauth.Settings{
			Provider: oauth.Microsoft, Cloud: tt.cloud, Grant: tt.grant, Tenant: "example.org", ClientID: "c-1",
		}}}
		got := p.Means(refused)
		if want := "https://" + tt.host + "/example.org/adminconsent?client_id=c-1"; !strings.Contains(got.Mend, want) || got.Remedy != tt.remedy || !strings.HasSuffix(got.Command, " c-1") {
			t.Errorf("%s, %s: %+v, want %s", tt.cloud, tt.grant, got, want)
		}
	}
}

// Each server of Microsoft's says goodbye to passwords in its own time, and
// connectors, which know none, never.
func TestWhoIsToldOfTheEndOfPasswords(t *testing.T) {
	for _, tt := range []struct {
		host, want string
		auth       profile.AuthKind
	}{
		{"smtp.office365.com", "December 2026", profile.AuthTyped},
		{"smtp.office365.us", "December 2026", profile.AuthAccount},
		{"smtp.hve.mx.microsoft", "September 2028", profile.AuthTyped},
		{"smtp-hve.office365.com", "September 2028", profile.AuthTyped},
		{"example-org.mail.protection.outlook.com", "", profile.AuthTyped},
		{"smtp.office365.com", "", profile.AuthNone},
		{"mail.example.org", "", profile.AuthTyped},
	} {
		p := profile.Profile{Kind: profile.KindSMTP, Host: tt.host, Security: smtp.STARTTLS, Auth: tt.auth}
		told := ""
		for _, n := range p.Notes(false, 0) {
			for _, when := range []string{"December 2026", "September 2028"} {
				if strings.Contains(n, when) {
					told += when
				}
			}
		}
		if told != tt.want {
			t.Errorf("%s, signed in by %s: told of %q, want %q", tt.host, tt.auth, told, tt.want)
		}
	}
}
