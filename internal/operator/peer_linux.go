package operator

import (
	"fmt"
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// checkPeer asks the kernel who is on the other end (SO_PEERCRED, unix(7)),
// and returns their name, or "" where the system has none for them.
func checkPeer(conn *net.UnixConn) (login string, err error) {
	var cred *syscall.Ucred
	err = control(conn, func(fd int) (err error) {
		cred, err = syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		return err
	})
	if err != nil {
		return "", peerError(err)
	}
	if u, err := user.LookupId(strconv.FormatUint(uint64(cred.Uid), 10)); err == nil {
		login = u.Username
	}
	return login, allowed(cred.Uid)
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
