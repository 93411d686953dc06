package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// authorityName is what a person calls who gives out the tokens.
func authorityName(p oauth.Provider) string {
	switch p {
	case oauth.Microsoft:
		return "Microsoft"
	case oauth.Google:
		return "Google"
	}
	return "the authority"
}

// authority tells whether who gives out the tokens can be reached.
func (t *test) authority(ctx context.Context) bool {
	began := time.Now()
	full := t.draft.Profile.Authority()
	state, err := t.doctor.mail.Reach(ctx, t.draft)
	if err != nil {
		s := Step{Key: StepAuthority, State: Bad, Took: time.Since(began), Detail: "The authority could not be asked.", Advice: "Look at its addresses in the settings."}
		if e := (*oauth.Error)(nil); errors.As(err, &e) {
			v := t.draft.Profile.Means(t.doctor.table.DecideGrant(e, full.Provider))
			s.Detail, s.Advice, s.Command, s.Link, s.Raw = v.Meaning, v.Mend, v.Command, v.Link, e.Said()
		}
		t.end(s)
		return false
	}
	s := Step{Key: StepAuthority, State: OK, Detail: tls.VersionName(state.Version), Took: time.Since(began)}
	if u, err := url.Parse(full.TokenURL); err == nil {
		s.Detail = u.Host + ", " + s.Detail
	}
	t.end(s)
	t.begin()
	return true
}

// token tells what the token is for that was just got, and never the token.
func (t *test) token(took time.Duration) {
	in := t.transport.SignedIn
	var words []string
	if in.Who != "" {
		words = append(words, "For "+in.Who+".")
	}
	if tenant := t.draft.Profile.OAuth.Tenant; tenant != "" {
		words = append(words, "Tenant "+tenant+".")
	}
	if left := in.Expires.Sub(t.doctor.now()).Round(time.Minute); !in.Expires.IsZero() && left > 0 {
		words = append(words, fmt.Sprintf("Good for %d minutes.", int(left.Minutes())))
	}
	if in.Scopes != "" {
		words = append(words, "Scopes: "+in.Scopes+".")
	}
	s := Step{Key: StepToken, State: OK, Detail: strings.Join(words, " "), Took: took}
	if in.SendAsApp {
		// Exchange looks at the older rights as soon as the token names the
		// permission, and at none of RBAC for Applications then.
		s.State = Warn
		s.Advice = "The application has the permission " + oauth.SendAsApp + " in Entra, so that Exchange wants the older right on the mailbox (Add-MailboxPermission). If you use RBAC for Applications, remove that permission from the app registration: with it the role does not count."
	}
	t.end(s)
	t.begin()
}

// decide says what a failure of the server means.
func (t *test) decide(err error) verdict.Verdict {
	v := t.draft.Profile.Means(t.doctor.table.DecideFrom(err, t.draft.Profile.Provider()))
	var e *smtp.Error
	if t.graph() && errors.As(err, &e) && (e.Stage == smtp.StageResolve || e.Stage == smtp.StageConnect) {
		// The table knows ports of mail servers.
		v.Mend = "Allow HTTPS from this server to " + t.host + " in the firewall, or enter the proxy in the configuration (mail.oauth.proxy)."
	}
	return v
}

// refused has a token that the server did not take replaced, so that the next
// test is one of another token. Microsoft Graph says so with a status of HTTP.
func (t *test) refused(ctx context.Context, err error) error {
	var e *smtp.Error
	if !t.bearer() || !errors.As(err, &e) || e.Kind != smtp.KindReply || e.Stage != smtp.StageAuth && e.Code != http.StatusUnauthorized {
		return nil
	}
	_, err = t.doctor.mail.TokenRefused(ctx, t.transport)
	return err
}
