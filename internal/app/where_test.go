package app

import (
	"slices"
	"testing"
)

func TestLocalURL(t *testing.T) {
	for listen, want := range map[string]string{
		":7272":              "https://localhost:7272",
		"0.0.0.0:7272":       "https://localhost:7272",
		"[::]:7272":          "https://localhost:7272",
		"127.0.0.1:7272":     "https://127.0.0.1:7272",
		"[fd00::1]:7272":     "https://[fd00::1]:7272",
		":443":               "https://localhost",
		"[fd00::1]:443":      "https://[fd00::1]",
		"vault.example:7272": "https://vault.example:7272",
	} {
		if got := localURL(listen); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
}

func TestTheCertificateNamesWhatPeopleType(t *testing.T) {
	for _, tt := range []struct {
		listen, access string
		want           []string
	}{
		{":7272", "", nil},
		{":7272", "https://vault.example.org:7272/path", []string{"vault.example.org"}},
		{"192.0.2.7:7272", "https://localhost:7272", []string{"192.0.2.7"}},
		{"[fd00::1]:7272", "https://[fd00::1]:7272", []string{"fd00::1"}},
	} {
		want := append([]string{"localhost", "127.0.0.1", "::1"}, tt.want...)
		if got := certificateHosts(tt.listen, tt.access); !slices.Equal(got, want) {
			t.Errorf("%s, %s: got %q, want %q", tt.listen, tt.access, got, want)
		}
	}
}
