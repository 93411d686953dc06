package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/sealpost/sealpost/internal/mail/capture"
)

const capturePath = "/admin/mail/capture"

// listens lets the capture mailbox run until the test ends.
func (r *rig) listens() {
	r.t.Helper()
	r.must(r.capture.Listen("127.0.0.1:0"))
	done := make(chan error, 1)
	ctx := r.t.Context()
	go func() { done <- r.capture.Serve(ctx) }()
	r.t.Cleanup(func() {
		_ = r.capture.Close()
		<-done
	})
}

// caught hands the mailbox a letter and returns its id.
func (r *rig) caught(source string) string {
	r.t.Helper()
	letter := strings.NewReader(strings.ReplaceAll(source, "\n", "\r\n"))
	c, err := smtp.Dial(r.capture.Addr())
	r.must(err)
	defer c.Close()
	r.must(c.SendMail("somebody@example.org", []string{"ben@example.org"}, letter))
	found, err := r.capture.List(r.t.Context(), r.system(), capture.Filter{Limit: 1})
	r.must(err)
	return found.Mails[0].ID
}

const evilLetter = `From: somebody@example.org
To: ben@example.org
Subject: =?utf-8?q?Sch=C3=B6n?= <b>bold</b>
MIME-Version: 1.0
Content-Type: multipart/related; boundary=x

--x
Content-Type: multipart/alternative; boundary=y

--y
Content-Type: text/plain; charset=utf-8

Plain <i>words</i>.
--y
Content-Type: text/html; charset=utf-8

<!doctype html><html><head><title>x</title></head><body><script>alert(1)</script><img src="cid:logo@sealpost"><img src="cid:vector"><a href="https://example.org/">go</a></body></html>
--y--
--x
Content-Type: image/png
Content-ID: <logo@sealpost>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--x
Content-Type: image/svg+xml
Content-ID: <vector>

<svg onload="alert(1)"/>
--x
Content-Type: text/csv; name="list.csv"
Content-Disposition: attachment; filename="list.csv"

a,b
--x--
`

func TestACaughtLetterIsShownInAFrameThatRunsNothing(t *testing.T) {
	r, grace := ready(t)
	r.listens()
	grace.get(capturePath).sees(http.StatusOK, "Nothing caught yet", "Letters do not come here at the moment")
	id := r.caught(evilLetter)
	path := capturePath + "/" + id

	shown := grace.get(path).sees(http.StatusOK, "Schön <b>bold</b>", "ben@example.org", "list.csv")
	shown.lacks("<b>bold", "<script>alert")
	if !regexp.MustCompile(`<iframe [^>]*src="` + path + `/html"[^>]* sandbox="allow-popups allow-popups-to-escape-sandbox"`).MatchString(shown.body) {
		t.Error("the letter is not in a sandboxed frame of its own address")
	}
	if got := shown.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-src 'self'") || !strings.Contains(got, "script-src 'self'") {
		t.Errorf("the page's policy is %q", got)
	}

	frame := grace.get(path + "/html").sees(http.StatusOK)
	policy := frame.header.Get("Content-Security-Policy")
	if got := len(frame.header.Values("Content-Security-Policy")); got != 1 {
		t.Errorf("%d policies", got)
	}
	for _, want := range []string{"default-src 'none'", "img-src data:", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'self'", "sandbox allow-popups allow-popups-to-escape-sandbox"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the frame's policy lacks %q: %s", want, policy)
		}
	}
	for _, never := range []string{"script-src", "allow-scripts", "allow-same-origin", "'self';"} {
		if strings.Contains(strings.Replace(policy, "frame-ancestors 'self';", "", 1), never) {
			t.Errorf("the frame's policy has %q: %s", never, policy)
		}
	}
	if !strings.Contains(frame.body, `<img src="data:image/png;base64,iVBORw0KGgo=">`) || !strings.Contains(frame.body, `src="cid:vector"`) {
		t.Errorf("the frame shows %s", frame.body)
	}
	if !strings.Contains(frame.body, `<head><base target="_blank">`) {
		t.Error("a link in the letter would open inside the frame")
	}

	grace.get(path+"?view=text").sees(http.StatusOK, "Plain <i>words</i>.").lacks("<i>words")
	grace.get(path+"?view=headers").sees(http.StatusOK, "Content-Type", "multipart/related")
	grace.get(path+"?view=source").sees(http.StatusOK, "Content-Transfer-Encoding: base64", "<svg onload").lacks("<svg onload")
	file := grace.get(path + "/download").sees(http.StatusOK)
	if file.header.Get("Content-Type") != "message/rfc822" || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment;") || !strings.Contains(file.body, "\r\nSubject: ") {
		t.Errorf("the download is %v", file.header)
	}
	// The page with the frame and what stands in the frame are one opening.
	if n := len(r.actions("capture.opened")); n != 4 {
		t.Errorf("%d openings are audited, want each of 4 once", n)
	}

	grace.post(path+"/delete").leads(capturePath).sees(http.StatusOK, "The letter is deleted.", "Nothing caught yet")
	grace.get(path).sees(http.StatusNotFound)
	r.caught(evilLetter)
	grace.post(capturePath+"/empty").leads(capturePath).sees(http.StatusOK, "The capture mailbox is empty.")
}

func TestMailIsTriedOutWithoutAServer(t *testing.T) {
	r, grace := ready(t)
	r.listens()
	f := form{"kind": "capture", "sender_address": "vault@example.org", "access_url": accessURL, "test_to": "grace@example.org", "do": "save"}
	grace.send(settingsPath, f).leads(settingsPath).
		sees(http.StatusOK, "Capturing", "Mail does not leave this machine", "Open the mailbox").lacks("Stored settings were saved without")
	grace.send(settingsPath+"/test", f).sees(http.StatusOK, "Passed", "capture mailbox accepted the mail to grace@example.org")
	grace.get(capturePath).sees(http.StatusOK, "Sealpost's letters end here", "grace@example.org", "127.0.0.1:")
	grace.get(capturePath+"/rows?q=grace").sees(http.StatusOK, "grace@example.org").lacks("<html")
	grace.get(capturePath+"?q=nobody").sees(http.StatusOK, "Nothing fits")
	grace.get("/").sees(http.StatusOK, "Mail does not leave this machine.")
}
