package identity

import (
	"context"
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/store"
)

// Ended returns the ids of those sessions that are over, or whose user is not
// active or has another role by now. Asking is no sign of life: a page that is
// open keeps no session alive.
func (s *Service) Ended(ctx context.Context, bys []actor.Actor) ([]string, error) {
	if len(bys) == 0 {
		return nil, nil
	}
	roles := map[string]actor.Role{}
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		roles, err = liveRoles(tx, bys, s)
		return err
	})
	var ended []string
	for _, by := range bys {
		if role, live := roles[by.SessionID]; !live || role != by.Role {
			ended = append(ended, by.SessionID)
		}
	}
	return ended, err
}

// liveRoles returns the roles of the users of those sessions that are live.
func liveRoles(tx *store.Tx, bys []actor.Actor, s *Service) (map[string]actor.Role, error) {
	args := []any{store.Micros(tx.Now()), store.Micros(tx.Now().Add(-s.Idle)), string(Active)}
	marks := make([]string, len(bys))
	for i, by := range bys {
		args = append(args, by.SessionID)
		marks[i] = fmt.Sprintf("$%d", len(args))
	}
	roles := map[string]actor.Role{}
	return roles, tx.Each(func(r store.Row) error {
		var id, role string
		if err := r.Scan(&id, &role); err != nil {
			return err
		}
		roles[id] = actor.Role(role)
		return nil
	}, `SELECT s.id, u.role FROM identity_session s JOIN identity_user u ON u.id = s.user_id
		WHERE s.expires_at > $1 AND s.seen_at > $2 AND u.state = $3 AND s.id IN (`+strings.Join(marks, ", ")+`)`, args...)
}
