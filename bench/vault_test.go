package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealpost/sealpost/internal/vault"
)

// A password is shown only after its audit entry is on disk.
func BenchmarkReveal(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("callers-%d", callers), func(b *testing.B) {
			eachHouse(b, func(b *testing.B, h *house) {
				r, err := h.vault.AddResource(b.Context(), h.grace, vault.NewResource{Fields: vault.Fields{Name: "db-1", Type: "PostgreSQL"}})
				must(b, err)
				a, err := h.vault.AddAccount(b.Context(), h.grace, r.ID, vault.NewAccount{Name: "postgres", Password: password})
				must(b, err)
				var left atomic.Int64
				left.Store(int64(b.N))
				var wait sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wait.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := h.vault.Reveal(b.Context(), h.grace, a.ID, 0, "reveal", ""); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wait.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reveals/s")
			})
		})
	}
}
