package bounce

import (
	"time"

	"github.com/sealpost/sealpost/internal/store"
)

// TakeLease takes the right to read as a node that saw some time ago that reading
// is due.
func (s *Service) TakeLease(tx *store.Tx) (bool, error) {
	return takeLease(tx, s.holder, tx.Now().Add(leaseTime))
}

// Handle writes down what a message says.
func (s *Service) Handle(tx *store.Tx, mail []byte) (ours bool, err error) { return s.handle(tx, mail) }

// Due makes reading due at a time.
func Due(tx *store.Tx, at time.Time) error {
	_, err := tx.Exec(`UPDATE bounce_setting SET next_at = $1`, store.Micros(at))
	return err
}
