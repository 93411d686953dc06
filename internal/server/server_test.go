package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAServerSpeaksHTTP2OverTLS(t *testing.T) {
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}), nil)
	res, err := s.client.Get(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); string(b) != "HTTP/2.0" {
		t.Errorf("got %q", b)
	}
}

func TestPlainHTTPOnTheTLSPortIsToldAboutHTTPS(t *testing.T) {
	s := start(t, http.NotFoundHandler(), nil)
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	// A body that nobody reads must not make the answer unreadable.
	for _, body := range []string{"", strings.Repeat("x", 32<<10)} {
		res, err := plain.Post("http://"+s.Addr().String()+"/sign-in", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "https://") {
			t.Errorf("got %d %q, %v", res.StatusCode, b, err)
		}
	}
}

func TestStoppingLetsARequestFinish(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
		if err := r.Context().Err(); err != nil {
			t.Errorf("the request ended with the server: %v", err)
		}
		_, _ = io.WriteString(w, "whole")
	}), nil)
	got := make(chan string, 1)
	go func() {
		res, err := s.client.Get(s.url)
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-begun
	s.stop()
	// Nobody is let in any more once the server stops.
	deadline := time.Now().Add(5 * time.Second)
	for {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server still takes connections")
		}
	}
	close(release)
	if b := <-got; b != "whole" {
		t.Errorf("got %q", b)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestStoppingCutsWhatDoesNotFinish(t *testing.T) {
	begun := make(chan struct{})
	ended := make(chan struct{})
	s := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	}), func(c *server.Config) { c.Drain = time.Millisecond })
	go func() {
		if res, err := s.client.Get(s.url); err == nil {
			res.Body.Close()
		}
	}()
	<-begun
	if err := s.end(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestAPortInUseIsSaidInASentence(t *testing.T) {
	s := start(t, http.NotFoundHandler(), nil)
	_, err := server.New(server.Config{Addr: s.Addr().String(), Log: quiet})
	if !fault.Is(err, fault.KindUnavailable) || !strings.Contains(fault.Sentence(err), "Another program uses it") {
		t.Errorf("got %v", err)
	}
}

func TestStatusOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{fault.NotFound("x"), 404},
		{fault.Denied("x"), 403},
		{fault.Invalid("f", "x"), 422},
		{fault.Conflict("x"), 409},
		{fault.Conflict("x").WithCode(fault.CodeInUse), 409},
		{fault.Unavailable("x"), 503},
		{fault.Denied("x").WithCode(fault.CodeLimited), 429},
		{fault.Internal(errors.New("x")), 500},
		{errors.New("x"), 500},
		{fault.Invalid("", "x").Because(&http.MaxBytesError{Limit: 1}), 413},
	} {
		if got := server.StatusOf(tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
}
