package app

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The first failure must be an increase: the series that rules of alerts are
// about are there before they count.
func TestCountersOfFailuresBeginAtZero(t *testing.T) {
	grants, alerts := newGrants(), newAlerts()
	fromZero(grants, alerts)
	registry := prometheus.NewRegistry()
	registry.MustRegister(grants, alerts)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetCounter().GetValue() != 0 {
				t.Errorf("%s begins at %v", f.GetName(), m.GetCounter().GetValue())
			}
			got[f.GetName()]++
		}
	}
	if got["sealpost_alerts_total"] != 3 || got["sealpost_oauth_requests_total"] != 24 {
		t.Errorf("the series are %v", got)
	}
}
