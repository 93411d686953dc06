package server_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/server"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func TestTheSelfSignedCertificateIsKept(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "new"), newClock()
	hosts := []string{"localhost", "127.0.0.1", "::1", "vault.example.org"}
	first, err := server.SelfSigned(dir, hosts, c.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		if err := first.Leaf.VerifyHostname(h); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]os.FileMode{"tls.key": 0o600, "tls.crt": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	again, err := server.SelfSigned(dir, []string{"localhost", "127.0.0.1", "fe80::1%eth0", "bücher.example", ""}, c.now)
	if err != nil || !bytes.Equal(first.Certificate[0], again.Certificate[0]) {
		t.Errorf("the second start made another certificate: %v", err)
	}
}

func TestTheSelfSignedCertificateIsMadeAnew(t *testing.T) {
	hosts := []string{"localhost"}
	for _, tt := range []struct {
		name   string
		change func(dir string, c *clock)
		hosts  []string
	}{
		{"a month before its end", func(_ string, c *clock) { c.at = c.at.Add(336 * 24 * time.Hour) }, hosts},
		{"when the clock went back behind its beginning", func(_ string, c *clock) { c.at = c.at.Add(-2 * time.Hour) }, hosts},
		{"for another host", func(string, *clock) {}, []string{"localhost", "vault.example.org"}},
		{"when its key is gone", func(dir string, _ *clock) { _ = os.Remove(filepath.Join(dir, "tls.key")) }, hosts},
		{"when a file is broken", func(dir string, _ *clock) { _ = os.WriteFile(filepath.Join(dir, "tls.crt"), []byte("x"), 0o600) }, hosts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, c := t.TempDir(), newClock()
			first, err := server.SelfSigned(dir, hosts, c.now)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(dir, c)
			second, err := server.SelfSigned(dir, tt.hosts, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(first.Certificate[0], second.Certificate[0]) {
				t.Error("the old certificate is still in use")
			}
			if second.Leaf.NotAfter.Before(c.at.Add(300 * 24 * time.Hour)) {
				t.Errorf("the new one ends at %v", second.Leaf.NotAfter)
			}
		})
	}
}

func TestAKeyThatOthersCanReadIsProtectedAgain(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	if _, err := server.SelfSigned(dir, []string{"localhost"}, c.now); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "tls.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := server.SelfSigned(dir, []string{"localhost"}, c.now); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestARunningServerRenewsItsCertificate(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	get, err := server.KeepSelfSigned(dir, []string{"localhost"}, c.now, quiet)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := get(nil)
	c.at = c.at.Add(24 * time.Hour)
	if same, _ := get(nil); !bytes.Equal(first.Certificate[0], same.Certificate[0]) {
		t.Error("renewed after a day")
	}
	c.at = c.at.Add(340 * 24 * time.Hour)
	renewed, err := get(nil)
	if err != nil || bytes.Equal(first.Certificate[0], renewed.Certificate[0]) {
		t.Errorf("not renewed: %v", err)
	}
}

func TestAReplacedCertificateFileIsTakenOver(t *testing.T) {
	c := newClock()
	here, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{here, other} {
		if _, err := server.SelfSigned(dir, []string{"localhost"}, c.now); err != nil {
			t.Fatal(err)
		}
	}
	crt, key := filepath.Join(here, "tls.crt"), filepath.Join(here, "tls.key")
	get, err := server.KeepFiles(crt, key, c.now, quiet)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := get(nil)

	// Half of a renewal: the certificate is new, the key still old.
	replace(t, filepath.Join(other, "tls.crt"), crt, 1)
	c.at = c.at.Add(2 * time.Minute)
	if same, err := get(nil); err != nil || !bytes.Equal(first.Certificate[0], same.Certificate[0]) {
		t.Errorf("a pair that does not fit was taken over: %v", err)
	}
	replace(t, filepath.Join(other, "tls.key"), key, 2)
	c.at = c.at.Add(2 * time.Minute)
	if second, err := get(nil); err != nil || bytes.Equal(first.Certificate[0], second.Certificate[0]) {
		t.Errorf("the new pair was not taken over: %v", err)
	}
}

// replace copies a file over another one and dates it ahead.
func replace(t *testing.T, from, to string, minutes time.Duration) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(minutes * time.Minute)
	if err := os.Chtimes(to, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateFilesThatDoNotServeAreNamed(t *testing.T) {
	_, err := server.KeepFiles("/nowhere/tls.crt", "/nowhere/tls.key", time.Now, quiet)
	if !fault.Is(err, fault.KindInvalid) {
		t.Errorf("got %v", err)
	}
}
