package actor_test

import (
	"testing"

	"github.com/sealpost/sealpost/internal/actor"
)

// The table a reviewer reads: what each role may do at all. It is written out
// so that a change of the rights shows as a change of this test.
func TestWhatEachRoleMayDo(t *testing.T) {
	all := []actor.Permission{
		actor.ManageUsers, actor.ManagePrivilegedUsers, actor.ManageResources,
		actor.ReadAudit, actor.ManageSettings, actor.ReadMailJournal,
	}
	want := map[actor.Role]string{
		actor.PrivilegedAdministrator: "yyyyyy",
		actor.Administrator:           "y-yyyy",
		actor.PasswordAdministrator:   "--y---",
		actor.PasswordAuditor:         "---y--",
		actor.PasswordUser:            "------",
		"made_up":                     "------",
	}
	for role, row := range want {
		u := actor.Actor{Kind: actor.KindUser, UserID: "u", Role: role}
		for i, p := range all {
			if got := u.May(p); got != (row[i] == 'y') {
				t.Errorf("%s may %s: %v, want %c", role, p, got, row[i])
			}
		}
	}
	for _, p := range all {
		if (actor.Actor{Role: actor.PrivilegedAdministrator}).May(p) {
			t.Errorf("nobody may %s because a role was left in the value", p)
		}
		if !actor.System("test").May(p) || !actor.Operator("root", "cli").May(p) {
			t.Errorf("the system or the operator may not %s", p)
		}
	}
}

func TestEveryRoleHasATitle(t *testing.T) {
	for _, r := range actor.Roles() {
		if !r.Valid() {
			t.Errorf("%s has no title", r)
		}
	}
	if actor.Role("root").Valid() || (actor.Actor{Kind: actor.KindUser}).Is("") {
		t.Error("an unknown role is valid, or an empty id is somebody")
	}
}
