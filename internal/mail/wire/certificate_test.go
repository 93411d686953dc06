package wire_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail/wire"
)

// pairFiles are a certificate and its key in files.
type pairFiles struct{ cert, key string }

// pem makes a certificate that ends at a time.
func (p pairFiles) write(t *testing.T, name string, ends time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(ends.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	put(t, p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o400)
}

// put writes a file as renewals do: a new one in its place.
func put(t *testing.T, path string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func newPair(t *testing.T) pairFiles {
	dir := t.TempDir()
	return pairFiles{filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")}
}

// shown returns the name in the certificate that a server is shown that asks,
// and "" for none.
func shown(t *testing.T, c *wire.Certificate, asks tls.ClientAuthType) string {
	t.Helper()
	server, roots := certificateOf(t)
	server = server.Clone()
	server.ClientAuth = asks
	near, far := net.Pipe()
	defer near.Close()
	said := make(chan string, 1)
	go func() {
		conn := tls.Server(far, server)
		defer conn.Close()
		if err := conn.Handshake(); err != nil {
			said <- err.Error()
			return
		}
		name := ""
		for _, peer := range conn.ConnectionState().PeerCertificates {
			name += peer.Subject.CommonName
		}
		said <- name
	}()
	conn := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", GetClientCertificate: c.Show})
	if err := conn.Handshake(); err != nil {
		t.Error(err)
	}
	return <-said
}

func TestTheClientCertificateIsShownToWhoAsks(t *testing.T) {
	files := newPair(t)
	ends := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	files.write(t, "first", ends)
	var log bytes.Buffer
	c, err := wire.LoadCertificate(files.cert, files.key, []string{"relay.example.org"}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, c, tls.RequireAnyClientCert); got != "first" {
		t.Errorf("a server that asks saw %q", got)
	}
	if got := shown(t, c, tls.NoClientCert); got != "" {
		t.Errorf("a server that does not ask saw %q", got)
	}
	if !c.Ends().Equal(ends) {
		t.Errorf("it ends %s, want %s", c.Ends(), ends)
	}
	if !c.For("relay.example.org") || c.For("mx.example.net") {
		t.Error("it is for other hosts than those named")
	}

	// A renewal takes effect with the next connection, without a restart.
	files.write(t, "second", ends.Add(time.Hour))
	if got := shown(t, c, tls.RequestClientCert); got != "second" {
		t.Errorf("after the renewal a server saw %q", got)
	}
	if !c.Ends().Equal(ends.Add(time.Hour)) {
		t.Errorf("it ends %s", c.Ends())
	}
	// Half a renewal leaves the old one, and is told once.
	log.Reset()
	other := newPair(t)
	other.write(t, "third", ends)
	half, err := os.ReadFile(other.cert)
	if err != nil {
		t.Fatal(err)
	}
	put(t, files.cert, half, 0o644)
	for range 3 {
		if got := shown(t, c, tls.RequestClientCert); got != "second" {
			t.Errorf("amid the renewal a server saw %q", got)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	rest, err := os.ReadFile(other.key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, files.key, rest, 0o400)
	if got := shown(t, c, tls.RequestClientCert); got != "third" {
		t.Errorf("after the renewal a server saw %q", got)
	}
	// Files that are gone leave it too.
	if err := os.Remove(files.cert); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	for range 2 {
		if got := shown(t, c, tls.RequestClientCert); got != "third" {
			t.Errorf("without the file a server saw %q", got)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

func TestClientCertificatesThatAreNone(t *testing.T) {
	a, b := newPair(t), newPair(t)
	a.write(t, "a", time.Now().Add(time.Hour))
	b.write(t, "b", time.Now().Add(time.Hour))
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		put(t, path, []byte(text), mode)
		return path
	}
	key, err := os.ReadFile(a.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ cert, key, field, says string }{
		{a.cert, b.key, "mail.client_key", "do not belong together"},
		{a.cert, file("open.key", string(key), 0o604), "mail.client_key", "Run chmod 0400"},
		{a.cert, file("group.key", string(key), 0o460), "mail.client_key", "Run chmod 0400"},
		{a.cert, file("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o400), "mail.client_key", "passphrase"},
		{a.cert, filepath.Join(dir, "none.key"), "mail.client_key", "There is no file"},
		{filepath.Join(dir, "none.pem"), a.key, "mail.client_certificate", "There is no file"},
		{a.key, a.key, "mail.client_certificate", "no certificate in PEM form"},
		{dir, a.key, "mail.client_certificate", "not a plain file"},
		{file("long.pem", strings.Repeat("x", 2<<20), 0o644), a.key, "mail.client_certificate", "cannot be read"},
	} {
		_, err := wire.LoadCertificate(tt.cert, tt.key, nil, nil)
		if f := fault.Fields(err); len(f) != 1 || f[0].Field != tt.field || !strings.Contains(f[0].Sentence, tt.says) {
			t.Errorf("%s with %s: %v, want %q at %s", tt.cert, tt.key, err, tt.says, tt.field)
		}
	}
	group := file("mygroup.key", string(key), 0o440)
	if _, err := wire.LoadCertificate(a.cert, group, nil, nil); err != nil {
		t.Errorf("a key that its group may read: %v", err)
	}
	if _, err := wire.LoadCertificate(a.cert, a.key, []string{"a b"}, nil); len(fault.Fields(err)) != 1 {
		t.Errorf("a host that is none: %v", err)
	}
}
