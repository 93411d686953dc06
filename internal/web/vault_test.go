package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/vault"
)

// shelf is a resource of grace's with an account that has a password.
type shelf struct{ resource, account string }

const oldPassword, newPassword = "first-Amber-71", "second-Birch-82"

func (r *rig) shelf(grace *browser, more ...string) shelf {
	r.t.Helper()
	form := append([]string{"id", "0190a0a0-0000-7000-8000-000000000001", "name", "db-prod-1", "type", "PostgreSQL", "url", "https://db1.example.org/"}, more...)
	s := shelf{resource: grace.post("/resources/add", form...).sees(http.StatusSeeOther).header.Get("Location")}
	grace.post(s.resource+"/accounts/add", "id", "0190a0a0-0000-7000-8000-000000000002", "name", "postgres", "password", oldPassword, "reason", "taken over").
		sees(http.StatusSeeOther)
	s.account = "/accounts/0190a0a0-0000-7000-8000-000000000002"
	return s
}

// script posts as one of our scripts does and returns the answer's JSON.
func (b *browser) script(path string, pairs ...string) (*answer, map[string]any) {
	b.r.t.Helper()
	b.header.Set("Accept", "application/json")
	defer b.header.Del("Accept")
	a := b.post(path, pairs...)
	var got map[string]any
	b.r.must(json.Unmarshal([]byte(a.body), &got))
	return a, got
}

func TestAPersonKeepsAPasswordInTheVault(t *testing.T) {
	eachReady(t, func(r *rig, grace *browser) {
		grace.get("/resources").sees(http.StatusOK, "No resources yet", "Add resource")
		s := r.shelf(grace)
		grace.get(s.resource).sees(http.StatusOK, "postgres was added.", "db-prod-1", "••••", "by grace").lacks(oldPassword)
		grace.get(s.account).sees(http.StatusOK, "No. 1", "taken over").lacks(oldPassword)

		grace.post(s.account+"/reveal", "how", "reveal").sees(http.StatusOK, "[="+oldPassword+"]")
		_, got := grace.script(s.account+"/reveal", "how", "copy", "version", "1")
		if got["password"] != oldPassword {
			t.Errorf("the script got %v", got)
		}

		grace.post(s.account+"/password", "version", "1", "password", newPassword, "reason", "rotated").leads(s.account).
			sees(http.StatusOK, "The password of postgres was saved.", "No. 2", "rotated").lacks(newPassword, oldPassword)
		grace.post(s.account+"/password", "version", "1", "password", "overtaken-Cedar-93").sees(http.StatusConflict)
		grace.get(s.account+"/restore?version=1").sees(http.StatusOK, "Password no. 1")
		grace.post(s.account+"/restore", "version", "1", "reason", "rolled back").leads(s.account).sees(http.StatusOK, "No. 3", "restored", "rolled back")
		_, got = grace.script(s.account+"/reveal", "how", "reveal")
		if got["password"] != oldPassword {
			t.Errorf("after the restore the script got %v", got)
		}
		grace.get("/audit?action=password.").sees(http.StatusOK, "Password revealeddb-prod-1 / postgres", "Password copieddb-prod-1", "Password setdb-prod-1", "Password restoreddb-prod-1").
			lacks(oldPassword, newPassword)
	})
}

func TestAResourceMayAskForAReason(t *testing.T) {
	r, grace := ready(t)
	s := r.shelf(grace, "ask_reason", "yes")
	grace.post(s.account+"/reveal", "how", "reveal").sees(http.StatusUnprocessableEntity, "Say why you need this password").lacks(oldPassword)
	a, got := grace.script(s.account+"/reveal", "how", "reveal")
	if a.status != http.StatusUnprocessableEntity || got["password"] != nil {
		t.Errorf("without a reason the script got %d, %v", a.status, got)
	}
	grace.post(s.account+"/reveal", "how", "reveal", "reason", "nightly restore").sees(http.StatusOK, oldPassword)
	grace.get("/audit?q=nightly").sees(http.StatusOK, "Password revealeddb-prod-1")
}

func TestTheVaultsFormsKeepWhatWasTyped(t *testing.T) {
	r, grace := ready(t)
	grace.post("/resources/add", "id", "0190a0a0-0000-7000-8000-000000000009", "name", "", "type", "Linux", "url", "javascript:alert(1)", "location", "Rack 7").
		sees(http.StatusUnprocessableEntity, "Give the resource a name.", "[location=Rack 7]", "[url=javascript:alert(1)]", "[type=Linux]")
	s := r.shelf(grace)
	grace.post(s.resource+"/accounts/add", "id", "0190a0a0-0000-7000-8000-00000000000a", "name", "postgres", "reason", "why not", "password", newPassword).
		sees(http.StatusConflict, "has an account of this name already", "[reason=why not]").lacks(newPassword)
	grace.post(s.resource+"/edit", "name", "db-prod-2", "revision", "99").sees(http.StatusConflict, "[name=db-prod-2]")
	grace.post(s.resource+"/edit", "name", "db-prod-2", "revision", grace.get(s.resource+"/edit").value("revision")).
		leads(s.resource).sees(http.StatusOK, "db-prod-2", "Saved.")
	grace.post(s.account+"/edit", "name", "", "notes", "kept").sees(http.StatusUnprocessableEntity, "kept")
	grace.post(s.account+"/edit", "name", "pg", "notes", "", "revision", grace.get(s.account+"/edit").value("revision")).leads(s.account).sees(http.StatusOK, "pg")
}

func TestAFormSentTwiceAddsOneResource(t *testing.T) {
	r, grace := ready(t)
	first, second := r.shelf(grace), r.shelf(grace)
	if first != second {
		t.Errorf("%v and %v", first, second)
	}
	grace.get("/resources").sees(http.StatusOK, "1 resource ")
}

func TestThePageGeneratesWithAndWithoutScript(t *testing.T) {
	r, grace := ready(t)
	s := r.shelf(grace)
	made := grace.post(s.account+"/password", "version", "1", "generate", "yes", "kind", "characters", "length", "31", "lower", "yes").
		sees(http.StatusOK, "bits").value("password")
	if len(made) != 31 || strings.Trim(made, "abcdefghijklmnopqrstuvwxyz") != "" {
		t.Errorf("made %q", made)
	}
	_, got := grace.script("/generator", "kind", "words", "words", "4", "separator", " ")
	if words := strings.Fields(got["password"].(string)); len(words) != 4 {
		t.Errorf("made %q", words)
	}
	grace.post(s.resource+"/accounts/add", "name", "new one", "generate", "yes", "kind", "characters", "length", "3").
		sees(http.StatusOK, "Choose a length of 8 to 128", "[name=new one]")
	if a, _ := grace.script("/generator", "kind", "characters", "length", "3"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a bad recipe: %d", a.status)
	}
}

// What one does not own looks like what does not exist, to administrators too.
func TestOthersDoNotSeeTheResource(t *testing.T) {
	r, grace := ready(t)
	s := r.shelf(grace)
	for _, b := range []*browser{r.join("ada", actor.Administrator), r.join("aud", actor.PasswordAuditor), r.join("uma", actor.PasswordUser)} {
		nothing := b.get("/nothing").text()
		for _, path := range []string{s.resource, s.account, s.account + "/reveal", s.account + "/password", s.resource + "/edit", s.account + "/restore?version=1"} {
			if got := b.get(path).sees(http.StatusNotFound).text(); got != nothing {
				t.Errorf("GET %s: %q", path, got)
			}
		}
		for _, path := range []string{"/reveal", "/password", "/restore", "/delete", "/edit"} {
			b.post(s.account+path, "how", "reveal", "password", "x", "version", "1", "name", "x", "confirm", "yes").sees(http.StatusNotFound).lacks(oldPassword)
		}
		b.get("/resources?q=db-prod").sees(http.StatusOK).lacks("db-prod-1")
	}
}

func TestDeletingAsksForTheNameAndAFreshProof(t *testing.T) {
	r, grace := ready(t)
	s := r.shelf(grace)
	grace.post(s.resource+"/delete", "typed_name", "db").sees(http.StatusUnprocessableEntity, "[typed_name=db]")
	r.clock.Advance(15 * time.Minute)
	grace.post(s.resource+"/delete", "typed_name", "db-prod-1").sees(http.StatusForbidden, "Confirm that it is you")
	grace.post(s.resource+"/delete", "typed_name", "db-prod-1", "sealpost_proof", "wrong").sees(http.StatusUnprocessableEntity, "The password is not right.")
	grace.get(s.resource).sees(http.StatusOK)
	grace.post(s.resource+"/delete", "typed_name", "db-prod-1", "sealpost_proof", goodPassword).leads("/resources").
		sees(http.StatusOK, "db-prod-1 was deleted.", "No resources yet")
}

func TestAResourceChangesHands(t *testing.T) {
	r, grace := ready(t)
	s := r.shelf(grace)
	pat := r.join("pat", actor.PasswordAdministrator)
	r.join("uma", actor.PasswordUser)
	grace.get(s.resource+"/transfer").sees(http.StatusOK, "User pat").lacks("User uma")
	r.clock.Advance(identity.ProofLife + time.Minute)
	grace.post(s.resource+"/transfer", "to", r.user("pat").ID).sees(http.StatusForbidden, "Confirm that it is you", "It goes on by itself afterwards.")
	grace.post(s.resource+"/transfer", "to", r.user("pat").ID, "sealpost_proof", goodPassword).leads("/resources").sees(http.StatusOK, "has a new owner")
	grace.get(s.resource).sees(http.StatusNotFound)
	pat.post(s.account+"/reveal", "how", "reveal").sees(http.StatusOK, oldPassword)
}

func TestSearchFindsByEveryWord(t *testing.T) {
	r, grace := ready(t)
	by := actor.Actor{Kind: actor.KindUser, UserID: r.user("grace").ID, Login: "grace", Role: actor.PrivilegedAdministrator}
	for _, name := range []string{"alpha", "beta", "gamma"} {
		res, err := r.vault.AddResource(t.Context(), by, vault.NewResource{Fields: vault.Fields{Name: name + "-server", Address: name + ".example.org"}})
		r.must(err)
		_, err = r.vault.AddAccount(t.Context(), by, res.ID, vault.NewAccount{Name: "svc-" + name, Password: secret.New("x")})
		r.must(err)
	}
	grace.get("/resources?q=SVC-beta").sees(http.StatusOK, "beta-server", "1 resource ").lacks("alpha-server")
	grace.get("/resources?q=server+gamma").sees(http.StatusOK, "gamma-server").lacks("beta-server")
	grace.get("/resources?q=%27+OR+1%3D1--").sees(http.StatusOK, "Nothing fits")
	grace.get("/resources?sort=name%3Bdrop").sees(http.StatusUnprocessableEntity)
	grace.get("/resources?after=nonsense").sees(http.StatusUnprocessableEntity)
}
