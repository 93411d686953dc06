package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/server"
)

var quiet = slog.New(slog.DiscardHandler)

// running is a server that answers, with a client that trusts it.
type running struct {
	*server.Server
	client *http.Client
	url    string
	stop   context.CancelFunc
	ended  chan error
}

// start serves h over TLS until the test ends.
func start(t *testing.T, h http.Handler, change func(*server.Config)) *running {
	t.Helper()
	cert, err := server.SelfSigned(t.TempDir(), []string{"127.0.0.1"}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	c := server.Config{
		Addr: "127.0.0.1:0", Handler: h, Log: quiet,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
	}
	if change != nil {
		change(&c)
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Server: s, stop: stop, ended: make(chan error, 1), url: "https://" + s.Addr().String()}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	r.client = &http.Client{Transport: transport}
	go func() { r.ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err, open := <-r.ended; open && err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// end stops the server and returns what Serve said.
func (r *running) end() error {
	r.stop()
	err := <-r.ended
	close(r.ended)
	return err
}
