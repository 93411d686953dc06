package web_test

import (
	"net/http"
	"testing"

	"github.com/sealpost/sealpost/internal/mail/smtptest"
)

// privateRelay is a mail server whose authority does not come along with its
// certificate, so that no test can show it.
func privateRelay(t *testing.T, r *rig) (*smtptest.Sink, *smtptest.Cert) {
	t.Helper()
	lab := smtptest.NewLab(t, r.clock.Now())
	root := lab.Make(smtptest.Order{Name: "Private Root", CA: true})
	shown := lab.Make(smtptest.Order{Name: "localhost", DNS: []string{"localhost"}, By: root}).TLS()
	shown.Certificate = shown.Certificate[:1]
	return smtptest.StartSink(t, smtptest.SinkConfig{
		Certificate: &shown, Mechanisms: []string{"PLAIN"}, Login: "vault", Password: mailPassword,
	}), root
}

// An authority of one's own is known before anything is saved, without scripts.
func TestAnAuthorityComesWithTheFormThatSetsMailUp(t *testing.T) {
	r, grace := ready(t)
	sink, root := privateRelay(t, r)
	var pairs []string
	for name, value := range typed(sink.Port()) {
		pairs = append(pairs, name, value)
	}
	key := []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	for _, path := range []string{settingsPath, settingsPath + "/test", settingsPath + "/fill"} {
		grace.upload(path, "authority", [][]byte{root.PEM(), key}, pairs...).
			sees(http.StatusUnprocessableEntity, "The file holds a private key", "[host=localhost]").lacks(mailPassword)
	}
	if _, set := r.profile(); set {
		t.Fatal("a refused file saved the settings")
	}

	// The form carries it from the test on.
	tested := grace.upload(settingsPath+"/test", "authority", [][]byte{root.PEM(), root.Raw}, pairs...).
		sees(http.StatusOK, "Passed", "Will be trusted for this server once saved", "Private Root")
	if got := tested.value("candidate"); got != candidate("anchor", root) {
		t.Errorf("the form carries %q", got)
	}
	grace.upload(settingsPath, "authority", [][]byte{root.PEM()}, pairs...).leads(settingsPath).
		sees(http.StatusOK, "The mail server settings are saved. The test mail to grace@example.org was accepted.", "Private Root", "by grace")
	if _, err := r.mail.Open(t.Context()); err != nil {
		t.Errorf("the saved settings cannot be used: %v", err)
	}
}
