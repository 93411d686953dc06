package web

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/oauth"
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

// testMail tests the values in the form, saved or not. Our script hears of
// each step while it happens.
func (s *Site) testMail(v *visit) error {
	c, err := mailChange(v)
	if err != nil {
		return s.mailRefused(v, diagnose.Report{}, err)
	}
	if v.isScript() {
		t := &testStream{v: v}
		report, err := v.mail().doctor.Run(v.ctx(), v.by, c, v.text("test_to"), t.step)
		return t.end(report, err)
	}
	report, err := v.mail().doctor.Run(v.ctx(), v.by, c, v.text("test_to"), nil)
	if err != nil {
		return s.mailRefused(v, report, err)
	}
	p, err := s.typedMailPage(v)
	if err != nil {
		return err
	}
	if p.Test, err = checkup.Test(report, v.text("test_to"), s.Version, s.Now(), listenerTo(v)); err != nil {
		return err
	}
	p.Form.TestToken, p.Form.OfferAnyway = report.TestToken, !report.Passed
	return v.render(p)
}

// listenerTo is the listener to a test of what the form holds.
func listenerTo(v *visit) checkup.Listener {
	l := checkup.Listener{At: v.mail().path}
	switch {
	case v.text("kind") == string(mail.KindMicrosoft):
		l.Provider, l.Graph = oauth.Microsoft, v.text("via") == string(mail.ViaGraph)
	case v.text("kind") == string(mail.KindSMTP) && v.text("auth") == string(mail.AuthOAuth):
		l.Provider = settingsOf(v.text("provider"), "", "").Provider
	}
	return l
}

// paintPart returns the HTML of a part of a page.
func (v *visit) paintPart(p page.Page, name string, data any) (string, error) {
	var b bytes.Buffer
	if err := v.s.engine.RenderPart(&b, p, name, data); err != nil {
		return "", fault.Internal(err)
	}
	return b.String(), nil
}

// part answers one of our scripts with a part of a page.
func (v *visit) part(p page.Page, name string, data any) error {
	html, err := v.paintPart(p, name, data)
	if err != nil {
		return err
	}
	v.send(http.StatusOK, []byte(html))
	return nil
}

// testStream tells our script of a test, one JSON object in a line for each
// thing that happens.
type testStream struct {
	v     *visit
	begun bool
	// failed is why a line could not be made; the test goes on without.
	failed error
}

// testLine is one line. Into names the element that HTML belongs into; a step
// or a group of checks takes the place of the one with its key.
type testLine struct {
	Into       string `json:"into,omitempty"`
	Step       string `json:"step,omitempty"`
	Group      string `json:"group,omitempty"`
	HTML       string `json:"html,omitempty"`
	End        bool   `json:"end,omitempty"`
	Passed     bool   `json:"passed,omitempty"`
	Token      string `json:"token,omitempty"`
	Transcript string `json:"transcript,omitempty"`
	Error      string `json:"error,omitempty"`
}

// begin sends the head and the certificates that the form carries now.
func (t *testStream) begin() {
	t.begun = true
	h := t.v.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Accel-Buffering", "no") // proxies pass lines on at once
	t.v.w.WriteHeader(http.StatusOK)
	t.send(testLine{Into: "candidates", HTML: t.paint("candidates", page.MailForm{At: t.v.mail().path, Candidates: candidates(t.v)})})
}

func (t *testStream) step(s diagnose.Step) {
	if !t.begun {
		t.begin()
	}
	step := checkup.Step(s, t.v.s.Now(), listenerTo(t.v))
	if diagnose.IsGroup(s.Key) {
		t.send(testLine{Group: s.Key, HTML: t.paint("check-group", step)})
		return
	}
	t.send(testLine{Step: s.Key, HTML: t.paint("check-step", step)})
}

// end sends the verdict. A failure before the first step is the adapter's.
func (t *testStream) end(r diagnose.Report, err error) error {
	if err == nil {
		err = t.failed
	}
	switch {
	case err != nil && !t.begun:
		return err
	case err != nil:
		t.v.s.Log.ErrorContext(t.v.ctx(), "a mail test broke off", "request_id", t.v.by.RequestID, "err", err)
		t.send(testLine{End: true, Error: fault.Sentence(err)})
		return nil
	}
	if err := t.stored(r); err != nil {
		return err
	}
	test, err := checkup.Test(r, "", t.v.s.Version, t.v.s.Now(), listenerTo(t.v))
	if err != nil {
		return err
	}
	t.send(testLine{
		End: true, Passed: r.Passed, Token: r.TestToken, HTML: t.paint("test-end", test), Transcript: t.paint("transcript", test),
	})
	return nil
}

// stored tells whether the stored settings count as tested now: those in the
// form may be the same.
func (t *testStream) stored(r diagnose.Report) error {
	p, set, err := t.v.mail().Active(t.v.ctx())
	if err != nil || !set || !r.Passed {
		return err
	}
	form := page.MailForm{Kind: string(p.Kind), Tested: !p.TestedAt.IsZero()}
	t.send(testLine{Into: "stored-test", HTML: t.paint("stored-test", form)})
	return nil
}

func (t *testStream) paint(part string, data any) string {
	html, err := t.v.paintPart(&page.MailSettings{}, part, data)
	if err != nil {
		t.failed = err
	}
	return html
}

// send writes a line. A browser that went away ends the test by its context.
func (t *testStream) send(line testLine) {
	b, err := json.Marshal(line)
	if err != nil {
		t.failed = err
		return
	}
	_, _ = t.v.w.Write(append(b, '\n'))
	_ = http.NewResponseController(t.v.w).Flush()
}
