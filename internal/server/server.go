package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
)

// How long a client may take. A handler that streams for longer moves its
// write deadline through http.ResponseController.
const (
	headerWait  = 10 * time.Second
	requestWait = time.Minute
	answerWait  = 2 * time.Minute
	idleWait    = 2 * time.Minute
	maxHeader   = 64 << 10
)

// Config is what a server needs.
type Config struct {
	// Addr is the address and port to listen on; port 0 takes a free one.
	Addr string
	// Certificate returns the certificate for a connection. Nil serves plain
	// http, for listeners that are private by their address.
	Certificate CertificateFunc
	// Handler answers the requests.
	Handler http.Handler
	// Log receives what the protocol stumbles over. Nil means slog.Default.
	Log *slog.Logger
	// Drain is how long requests under way may take once the server stops. 0
	// means 10 seconds.
	Drain time.Duration
}

// CertificateFunc chooses a certificate, as tls.Config.GetCertificate.
type CertificateFunc = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// Server is a listener with its handler.
type Server struct {
	http     *http.Server
	listener net.Listener
	tls      bool
	drain    time.Duration
}

// New listens. Connections wait until Serve.
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Drain == 0 {
		c.Drain = 10 * time.Second
	}
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, listenFault(c.Addr, err)
	}
	s := &Server{listener: l, tls: c.Certificate != nil, drain: c.Drain}
	s.http = &http.Server{
		Handler:           c.Handler,
		ReadHeaderTimeout: headerWait, ReadTimeout: requestWait, WriteTimeout: answerWait, IdleTimeout: idleWait,
		MaxHeaderBytes: maxHeader,
		// Handshakes that strangers break off are no news.
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	if s.tls {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Certificate}
	}
	return s, nil
}

func listenFault(addr string, err error) error {
	hint := "Check that it is an address of this machine."
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "Another program uses it. Choose another port with --listen."
	case errors.Is(err, syscall.EACCES):
		hint = "Ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE."
	}
	return fault.Unavailable(fmt.Sprintf("The address %s cannot be listened on. %s", addr, hint)).Because(err)
}

// Addr returns the address that is listened on, with its port.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening. It is for a server that never served; Serve closes by
// itself.
func (s *Server) Close() error { return s.listener.Close() }

// Serve answers until ctx ends. Then it lets the requests under way finish
// within the drain time and returns nil, or an error when it had to cut some
// off. Requests do not end with ctx, but with the drain time.
func (s *Server) Serve(ctx context.Context) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s.http.BaseContext = func(net.Listener) context.Context { return requests }
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(requests, s.drain)
	defer cancel()
	err := s.http.Shutdown(wait)
	if err != nil {
		cut()
		err = errors.Join(fmt.Errorf("requests did not finish in %s: %w", s.drain, err), s.http.Close())
	}
	<-served
	return err
}

func (s *Server) serve() error {
	if s.tls {
		return s.http.ServeTLS(plainListener{s.listener}, "", "")
	}
	return s.http.Serve(s.listener)
}
