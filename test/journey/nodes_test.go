package journey

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/mail/oauthtest"
	"github.com/sealpost/sealpost/internal/store"
)

// Two nodes on one database and 200 letters at once, with tokens that live for
// a minute: minute after minute each node asks for a token once at most, and
// every letter comes, once.
func TestTwoNodesShareTheTokens(t *testing.T) {
	const letters = 200
	o := openOffice(t, store.Postgres, oauthtest.Options{Limits: &oauthtest.Limits{Connections: 4}})
	grace := o.settle(t)
	o.signsIn(grace, with(o.exchange(), "pace_per_minute", "6000", "pace_connections", "4"), oauthtest.Alerts)

	second := &house{engine: o.engine, data: filepath.Join(t.TempDir(), "data"), database: o.database, out: newWatched(), log: newWatched()}
	if err := os.MkdirAll(second.data, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(o.data, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second.data, "root.key"), key, 0o400); err != nil {
		t.Fatal(err)
	}
	second.start(t, o.outside)
	other := newDesk(t, second.URL())
	other.signIn("grace", gracePassword)

	began, minutes := o.stand.Count("refresh_token"), 0
	desks := []*desk{grace, other}
	var wait sync.WaitGroup
	for n := range letters {
		wait.Go(func() {
			a, err := desks[n%2].try(http.MethodPost, "/users/add", url.Values{
				"name": {"Somebody"}, "login": {login(n)}, "email": {login(n) + "@example.org"}, "role": {"password_user"},
			})
			if err != nil || a.status != http.StatusSeeOther {
				t.Errorf("adding %s: status %d, %v", login(n), a.status, err)
			}
		})
	}
	// Whenever some more letters have left, the tokens end.
	for some := 20; some <= letters; some += 20 {
		o.stand.Wait(t, some)
		o.clock.Advance(tokenLife)
		minutes++
	}
	wait.Wait()
	for n := range letters {
		o.wait(t, login(n)+"@example.org")
	}
	if t.Failed() {
		return
	}
	asked := o.stand.Count("refresh_token") - began
	if asked < minutes/2 || asked > 2*(minutes+1) {
		t.Errorf("%d tokens were asked for in %d minutes", asked, minutes)
	}
	seen := map[string]int{}
	for _, l := range o.stand.Letters() {
		if seen[l.MessageID]++; seen[l.MessageID] > 1 {
			t.Errorf("the letter %s came twice", l.MessageID)
		}
	}
	perMinute(t, o, 2)
	grace.state("good")
	t.Logf("%d tokens in %d minutes", asked, minutes)
}

// login names somebody.
func login(n int) string { return fmt.Sprintf("somebody-%d", n) }

// perMinute checks that in no minute more tokens were asked for than there are
// nodes.
func perMinute(t *testing.T, o *office, nodes int) {
	t.Helper()
	var at []time.Time
	for _, r := range o.stand.Requests() {
		if r.Endpoint == "token" && r.Grant == "refresh_token" {
			at = append(at, r.At)
		}
	}
	for i := nodes; i < len(at); i++ {
		// A token is replaced a quarter of its life before its end, and up to a
		// fifth of that earlier.
		if d := at[i].Sub(at[i-nodes]); d < tokenLife-tokenLife/4-tokenLife/20 {
			t.Errorf("%d tokens were asked for within %s", nodes+1, d)
		}
	}
}
