package server

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// plainText answers who speaks http on the https port.
const plainText = "This port speaks https. Write https:// in place of http:// in the address.\n"

var errPlain = errors.New("server: a client spoke http on the https port")

// plainListener notices clients that speak http where TLS is expected and
// tells them, in place of a broken handshake that no browser explains.
type plainListener struct{ net.Listener }

// Accept waits for the next connection.
func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &plainConn{Conn: c}, nil
}

// plainConn looks at the first byte that arrives. TLS begins with a handshake
// record (RFC 8446 5.1), http with the letters of a method.
type plainConn struct {
	net.Conn
	first sync.Once
	plain bool
}

// Read reads, unless the client does not speak TLS.
func (c *plainConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.first.Do(func() {
			if c.plain = b[0] >= 'A' && b[0] <= 'Z'; c.plain {
				c.answer()
			}
		})
	}
	if c.plain {
		return 0, errPlain
	}
	return n, err
}

// answer says what is wrong and lets the client read it: closing with bytes
// unread would make the kernel reset the connection.
func (c *plainConn) answer() {
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	_, err := io.WriteString(c.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: "+strconv.Itoa(len(plainText))+"\r\nConnection: close\r\n\r\n"+plainText)
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, maxHeader))
	}
}
