package mail_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
)

// declines begins a sign-in and comes back with the authority's refusal.
func (o *office) declines() string {
	o.t.Helper()
	id := o.begin(o.microsoft())
	cb := o.away(id)
	cb.Query = url.Values{"state": {cb.Query.Get("state")}, "error": {"access_denied"}, "error_description": {"AADSTS65004: User declined to consent."}}
	_, err := o.finish(cb)
	o.wantProblem(err)
	return id
}

// Somebody else has to grant a consent, which takes its time.
func TestWhatWasTypedOutlastsARefusalForAnHour(t *testing.T) {
	eachOffice(t, func(o *office) {
		id := o.declines()
		o.clock.Advance(59 * time.Minute)
		if c, err := o.mail.Unfinished(o.t.Context(), admin, id, o.browser); err != nil || c.OAuth.ClientID != clientID {
			o.t.Errorf("after 59 minutes there is %+v, %v", c, err)
		}
		again, err := o.mail.BeginOnceMore(o.t.Context(), admin, id, o.browser)
		o.must(err)
		if done, err := o.finish(o.away(again)); err != nil || !done.Live {
			o.t.Errorf("once more: %+v, %v", done, err)
		}
		o.clock.Advance(2 * time.Minute)
		_, err = o.mail.Unfinished(o.t.Context(), admin, id, o.browser)
		o.refused(err, fault.KindNotFound)
		if got := fault.Sentence(err); !strings.Contains(got, "for an hour") {
			o.t.Errorf("it says %q", got)
		}
	})
}

// What is kept for longer takes no place from who signs in now.
func TestRefusedSignInsMakeRoomForANewOne(t *testing.T) {
	eachOffice(t, func(o *office) {
		for range 5 {
			o.declines()
		}
		if done, err := o.finish(o.away(o.begin(o.microsoft()))); err != nil || !done.Live {
			o.t.Errorf("the sign-in after five refusals: %+v, %v", done, err)
		}
	})
}

func TestASignInComesBackToTheAccessURLThatIsAboutToBe(t *testing.T) {
	eachOffice(t, func(o *office) {
		const next = "https://new.example.org"
		o.browser.Origin, o.browser.AccessURL = next, next
		going, err := o.mail.Going(o.t.Context(), admin, o.begin(o.microsoft()), o.browser)
		o.must(err)
		u, err := url.Parse(going.URL)
		o.must(err)
		if got := u.Query().Get("redirect_uri"); got != next+mail.RedirectOwn {
			o.t.Errorf("it comes back to %s", got)
		}
		o.browser.Origin = accessURL
		_, err = o.mail.BeginConsent(o.t.Context(), admin, o.microsoft(), o.browser)
		o.against(err, "access_url")
	})
}

func TestWhoseWordsAProblemHoldsIsKnown(t *testing.T) {
	eachOffice(t, func(o *office) {
		o.setUp(o.microsoft())
		for row, want := range map[string]bool{"entra-secret-expired": true, "class-grant-passing": true, "ms-auth-token": false, "graph-401": false} {
			o.must(o.mail.Pause(o.t.Context(), mail.Problem{Revision: o.active().Revision, Row: row, Reason: "It does not work."}))
			h, err := o.mail.Health(o.t.Context(), admin)
			o.must(err)
			if h.FromAuthority != want {
				o.t.Errorf("%s: from the authority %v, want %v", row, h.FromAuthority, want)
			}
			o.must(o.mail.Resume(o.t.Context(), admin))
		}
	})
}
