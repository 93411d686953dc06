package wire

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
)

// maxPEM bounds the files of a certificate, in bytes.
const maxPEM = 1 << 20

// Certificate is what this machine shows mail servers that ask who it is (RFC
// 8446, section 4.4.2; RFC 5246, section 7.4.6). It is safe for use by several
// goroutines.
type Certificate struct {
	certFile, keyFile string
	hosts             Bypass
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	seen   stamp
	failed *stamp
}

// stamp tells whether files are the ones that were read: a new file has another
// inode, one that was written over another time or size.
type stamp struct{ cert, key string }

// LoadCertificate reads a certificate with its chain and its key, both PEM, for
// hosts, or for any where there are none. A fault tells what is wrong: a pair
// that does not fit, or a key that others can read.
func LoadCertificate(certFile, keyFile string, hosts []string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if c.log == nil {
		c.log = slog.Default()
	}
	var err error
	if c.hosts, err = ParseBypass(hosts); err != nil {
		return nil, fault.Invalid("mail.client_hosts", "Write hosts like relay.example.org, or what is below one like .example.org.").Because(err)
	}
	if c.seen, err = c.stamp(); err == nil {
		c.pair, err = readPair(certFile, keyFile)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// For reports whether a host may see the certificate.
func (c *Certificate) For(host string) bool {
	return len(c.hosts.names) == 0 && len(c.hosts.networks) == 0 || c.hosts.Host(host)
}

// Ends returns when the certificate that is shown now ends.
func (c *Certificate) Ends() time.Time { return c.current().Leaf.NotAfter }

// Show is a tls.Config's GetClientCertificate, which is called only where a
// server asks. The list of authorities that some servers send along is not
// looked at, as OpenSSL does not either: it is often incomplete, and the hosts
// are the operator's choice.
func (c *Certificate) Show(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.current(), nil
}

// current returns the pair, read anew if the files changed. While a renewal is
// half done, the old one goes on being shown; that is logged once.
func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.stamp()
	if err == nil && now == c.seen {
		return c.pair
	}
	var pair *tls.Certificate
	if err == nil {
		pair, err = readPair(c.certFile, c.keyFile)
	}
	switch {
	case err == nil:
		c.pair, c.seen, c.failed = pair, now, nil
		c.log.Info("the client certificate for mail servers was read again", "ends", pair.Leaf.NotAfter)
	case c.failed == nil || *c.failed != now:
		c.failed = &now
		c.log.Warn("the client certificate for mail servers changed and cannot be used; the one from before goes on", "error", err)
	}
	return c.pair
}

func (c *Certificate) stamp() (s stamp, err error) {
	if s.cert, err = stampOf("mail.client_certificate", c.certFile); err == nil {
		s.key, err = stampOf("mail.client_key", c.keyFile)
	}
	return s, err
}

func stampOf(setting, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", unreadable(setting, path, err)
	}
	inode := uint64(0)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return fmt.Sprintf("%d %d %d", inode, info.Size(), info.ModTime().UnixNano()), nil
}

func unreadable(setting, path string, err error) error {
	sentence := fmt.Sprintf("The file %s cannot be read. Check its owner and mode.", path)
	if errors.Is(err, fs.ErrNotExist) {
		sentence = fmt.Sprintf("There is no file %s.", path)
	}
	return fault.Invalid(setting, sentence).Because(err)
}

// readPair reads and checks certificate and key.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, _, err := readFile("mail.client_certificate", certFile)
	if err != nil {
		return nil, err
	}
	key, info, err := readFile("mail.client_key", keyFile)
	if err != nil {
		return nil, err
	}
	// A group may read it: packages hand keys to services that way.
	if mode := info.Mode().Perm(); mode&0o027 != 0 {
		return nil, fault.Invalid("mail.client_key", fmt.Sprintf("Others can use the key %s (mode %04o). Run chmod 0400 on it, or 0440 for a group of its own.", keyFile, mode))
	}
	if !bytes.Contains(cert, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil, fault.Invalid("mail.client_certificate", fmt.Sprintf("There is no certificate in PEM form in %s.", certFile))
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) {
		return nil, fault.Invalid("mail.client_key", fmt.Sprintf("The key %s is locked with a passphrase. Write it without one, readable by Sealpost alone.", keyFile))
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fault.Invalid("mail.client_key", fmt.Sprintf("The key in %s and the certificate in %s do not belong together, or one of them is damaged.", keyFile, certFile)).Because(err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fault.Invalid("mail.client_certificate", fmt.Sprintf("The certificate in %s is damaged.", certFile)).Because(err)
		}
	}
	return &pair, nil
}

// readFile reads a plain file. Without O_NONBLOCK, a named pipe would hold up
// who reads it.
func readFile(setting, path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, unreadable(setting, path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, unreadable(setting, path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fault.Invalid(setting, fmt.Sprintf("%s is not a plain file.", path))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(b) > maxPEM {
		err = errors.New("too long")
	}
	if err != nil {
		return nil, nil, unreadable(setting, path, err)
	}
	return b, info, nil
}
