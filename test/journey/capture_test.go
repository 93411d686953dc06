package journey

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"

	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/test/peers"
)

// The whole job with no mail server at hand: letters end in the capture mailbox
// and are read there.
func TestTheMainJobWithTheCaptureMailbox(t *testing.T) {
	s := &story{h: open(t, store.SQLite), browser: peers.Chromium(t), adaEmail: "ada@example.org"}
	s.grace, s.ada = s.browser.Person(t, "Grace"), s.browser.Person(t, "Ada")
	s.tell(t, []step{
		{"Grace opens the printed link and sets up", (*story).setUp},
		{"Grace chooses the capture mailbox", (*story).chooseCapture},
		{"Grace adds Ada", (*story).addAda},
		{"Ada follows the link in the captured mail", (*story).followFromCapture},
		{"Ada keeps a password", (*story).keep},
	})
}

func (s *story) chooseCapture(t *testing.T) {
	g := s.grace
	g.Click("input[name=how][value=capture]")
	g.Press("form.card button.main")
	for _, path := range []string{"/", "/users", "/admin/settings/mail"} {
		g.Go(s.h.URL() + path)
		g.WaitText("Mail does not leave this machine.")
	}
}

func (s *story) followFromCapture(t *testing.T) {
	g := s.grace
	g.Go(s.h.URL() + "/admin/mail/capture")
	// The list fills by itself when a letter arrives.
	g.Press("#results a.name")
	page := g.Location()
	g.Wait("iframe.letter-frame")
	g.Go(page + "?view=text")
	g.WaitText("Hello Ada Lovelace")
	g.Go(page + "?view=headers")
	g.WaitText("Auto-Submitted")
	g.Go(page + "?view=source")
	g.WaitText("MIME-Version: 1.0")

	desk := newDesk(t, s.h.URL())
	desk.signIn("grace", gracePassword)
	eml := desk.get(strings.TrimPrefix(page, s.h.URL()) + "/download")
	if eml.status != http.StatusOK || !strings.Contains(eml.header.Get("Content-Disposition"), ".eml") {
		t.Errorf("download: status %d, %s", eml.status, eml.header.Get("Content-Disposition"))
	}
	m, err := enmime.ReadEnvelope(strings.NewReader(eml.body))
	if err != nil {
		t.Fatal(err)
	}
	s.follow(t, s.invitation(t, m))
}
