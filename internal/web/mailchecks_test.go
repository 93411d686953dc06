package web_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/test/peers"
)

// wellKnown are what the DNS of a test says of the sender's domain: there is no
// DMARC record.
func (r *rig) wellKnown() {
	r.dns.Put("example.org TXT", "v=spf1 ip4:198.51.100.1 -all")
	r.dns.Put("example.org MX", "10 mx.example.org")
}

// kept returns the files that links on a page carry.
func kept(t *testing.T, body string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, m := range regexp.MustCompile(`href="data:[a-z/]+;charset=utf-8;base64,([^"]*)" download="([^"]+)"`).FindAllStringSubmatch(body, -1) {
		content, err := base64.StdEncoding.DecodeString(strings.NewReplacer("&#43;", "+", "%2b", "+", "%2f", "/").Replace(m[1]))
		if err != nil {
			t.Errorf("%s: %v", m[2], err)
		}
		files[m[2]] = string(content)
	}
	return files
}

// What the test looked at beside its steps stands on the page, and so do the
// files to keep, without a script.
func TestATestShowsMoreThanItsSteps(t *testing.T) {
	r, grace := ready(t)
	sink, cert := relay(t, r)
	r.wellKnown()
	f := typed(sink.Port()).with("candidate", candidate("anchor", cert))
	page := grace.send(settingsPath+"/test", f).sees(http.StatusOK, "Passed", "What the DNS says", "Ports of the server", "Encryption and speed",
		"cannot be told from here", "TXT record at", "v=spf1 ip4:198.51.100.1", "example.org has no DMARC record", "v=DMARC1; p=none; rua=mailto:postmaster@example.org", "Letters in a minute")
	files := kept(t, page.body)
	text, document := files["sealpost-mail-test.txt"], files["sealpost-mail-test.json"]
	for _, want := range []string{"Sealpost   test, replies 20", "Receivers will see", "C: AUTH PLAIN [credentials]", "g…@example.org"} {
		if !strings.Contains(text, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, text)
		}
	}
	var told struct {
		Passed bool
		Checks []struct {
			Key    string
			Checks []struct{ Key, Verdict string }
		}
	}
	if err := json.Unmarshal([]byte(document), &told); err != nil || !told.Passed || len(told.Checks) != 3 || told.Checks[0].Key != "dns" || len(told.Checks[0].Checks) == 0 {
		t.Errorf("got %v, %s", err, document)
	}
	for _, secret := range []string{mailPassword, base64.StdEncoding.EncodeToString([]byte("\x00vault\x00" + mailPassword))} {
		if strings.Contains(page.body+text+document, secret) {
			t.Error("the password is told")
		}
	}
	if strings.Contains(text, "grace@") {
		t.Errorf("an address is told:\n%s", text)
	}

	// A script hears of each group as it begins and as it ends.
	groups := map[string]int{}
	for _, line := range grace.stream(settingsPath+"/test", f) {
		if key, ok := line["group"].(string); ok {
			groups[key]++
		}
		if line["end"] == true && len(kept(t, fmt.Sprint(line["transcript"]))) != 2 {
			t.Errorf("the last line carries no files: %v", line)
		}
	}
	if groups["dns"] != 2 || groups["ports"] != 2 || groups["speed"] != 1 {
		t.Errorf("told %v", groups)
	}
}

func seesWhatReceiversSee(t *testing.T, chrome *peers.Browser) {
	r, _ := ready(t)
	r.clock.Set(time.Now())
	sink, _ := relay(t, r)
	r.wellKnown()
	tab := r.seat(chrome)
	tab.Go(r.srv.URL + settingsPath)
	tab.Click(".choice label:has([value=starttls])")
	tab.Fill("#host", "localhost")
	tab.Fill("#port", strconv.Itoa(sink.Port()))
	tab.Fill("#sender_address", "vault@example.org")
	tab.Fill("#username", "vault")
	tab.Fill("#password", mailPassword)
	tab.Click("#test")
	tab.WaitText("Failed at “Encrypt”")
	tab.Click("button[name=trust]")
	tab.WaitText("Passed")
	shoot(t, tab, "folded")
	tab.Click("#checks details[data-key=dns] > summary")
	tab.WaitText("Who may send for the domain (SPF)")
	if !peers.Eval[bool](tab, `!document.querySelector("#checks [data-copy=record-dmarc]").hidden && document.querySelectorAll("#transcript-box a[download]").length === 2`) {
		t.Error("the record cannot be copied, or nothing can be kept")
	}
	shoot(t, tab, "open")
	tab.Look("dark", 360, 900)
	if found := tab.Accessible(t); len(found) > 0 {
		t.Errorf("axe finds %q", found)
	}
	if n := tab.Sideways(); n > 0 {
		t.Errorf("the page scrolls %d pixels sideways", n)
	}
	tab.Click("#transcript-box a[download]")
	quiet(t, r, tab)
}

// shoot takes pictures for whoever wants to look at them, into the folder
// LOOK_AT.
func shoot(t *testing.T, tab *peers.Tab, name string) {
	t.Helper()
	folder := os.Getenv("LOOK_AT")
	if folder == "" {
		return
	}
	for _, look := range []struct {
		theme        string
		wide, height int64
	}{{"light", 1280, 1800}, {"dark", 1280, 1800}, {"light", 390, 2600}} {
		tab.Look(look.theme, look.wide, look.height)
		peers.Eval[bool](tab, `document.querySelector("#test-title").scrollIntoView({block: "start"}), true`)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%s-%d.jpg", name, look.theme, look.wide)), tab.Picture(80), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tab.Look("light", 1280, 1000)
}
