package web_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/web"
)

// reviewed reads testdata/routes.txt: every route with who may come near it.
// Whoever adds a route adds a line there, and somebody else reads it.
func reviewed(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestTheRoutesAreTheReviewedOnes(t *testing.T) {
	r := onSQLite(t)
	want := reviewed(t)
	var got []string
	for _, rt := range r.site.Routes() {
		line := fmt.Sprintf("%s %s %s", rt.Method, rt.Path, rt.Access)
		got = append(got, line)
		if !slices.Contains(want, line) {
			t.Errorf("nobody reviewed %q: add it to testdata/routes.txt", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("the reviewed route %q is gone", line)
		}
	}
}

// Every route, by everybody: who may not come near sees what is not there,
// and who is not signed in is asked to.
func TestEveryRouteAdmitsOnlyItsRoles(t *testing.T) {
	r, grace := ready(t)
	people := map[actor.Role]*browser{actor.PrivilegedAdministrator: grace}
	for i, role := range actor.Roles() {
		if people[role] == nil {
			people[role] = r.join(fmt.Sprintf("user%d", i), role)
		}
	}
	for _, rt := range r.site.Routes() {
		path := visitable(rt)
		if rt.Access != "open" {
			if got := r.browser().do(rt.Method, path, nil, "").header.Get("Location"); !strings.HasPrefix(got, "/sign-in") {
				t.Errorf("%s %s leads somebody not signed in to %q", rt.Method, rt.Path, got)
			}
		}
		for role, b := range people {
			if rt.Access == "open" || rt.Access == "signed in" || strings.Contains(rt.Path, "sign-out") {
				continue
			}
			a := b.do(rt.Method, path, nil, "")
			may := actor.Actor{Kind: actor.KindUser, Role: role}.May(actor.Permission(rt.Access))
			switch plain := rt.Method == http.MethodGet && path == rt.Path; {
			case !may && a.status != http.StatusNotFound:
				t.Errorf("%s gets %d from %s %s", role, a.status, rt.Method, rt.Path)
			case may && plain && a.status == http.StatusNotFound:
				t.Errorf("%s does not get to %s", role, rt.Path)
			}
		}
	}
}

// visitable returns the route's path with something in place of its
// parameters.
func visitable(rt web.RouteInfo) string {
	path := strings.ReplaceAll(rt.Path, "{$}", "")
	for {
		from, to := strings.Index(path, "{"), strings.Index(path, "}")
		if from < 0 || to < from {
			return path
		}
		path = path[:from] + "0" + path[to+1:]
	}
}
