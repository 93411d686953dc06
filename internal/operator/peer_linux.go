package operator

import (
	"fmt"
	"net"
	"syscall"
)

// checkPeer asks the kernel who is on the other end (SO_PEERCRED, unix(7)).
func checkPeer(conn *net.UnixConn) error {
	var cred *syscall.Ucred
	err := control(conn, func(fd int) (err error) {
		cred, err = syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		return err
	})
	if err != nil {
		return peerError(err)
	}
	return allowed(cred.Uid)
}

func peerError(err error) error {
	return errPeer.Because(fmt.Errorf("asking who is calling: %w", err))
}

// control runs f on the connection's descriptor.
func control(conn *net.UnixConn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
