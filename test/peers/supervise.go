package peers

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// supervised starts a shell script that must run until its standard input ends.
// It has a session of its own, so that whoever ends the test's process group
// does not end it before it has cleaned up, and inherits no output, or `go
// test` would wait for it. Closing the pipe ends it, and so does the end of the
// test binary. The channel is closed when the shell is gone.
func supervised(script string, args ...string) (pipe *os.File, gone <-chan struct{}, err error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	shell := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	shell.Dir = "/"
	shell.Stdin = in
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := shell.Start(); err != nil {
		return nil, nil, errors.Join(err, in.Close(), out.Close())
	}
	_ = in.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = shell.Wait()
	}()
	return out, ended, nil
}

// freePorts returns n ports of 127.0.0.1 that nobody listened on a moment ago.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// within asks done again and again until it says yes, the deadline passes or
// stop is closed.
func within(limit time.Duration, stop <-chan struct{}, done func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			return done()
		case <-stop:
			return false
		case <-tick.C:
		}
	}
	return true
}
