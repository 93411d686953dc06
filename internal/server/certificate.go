package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/fault"
)

// The files of the self-signed certificate in its folder.
const (
	certFile = "tls.crt"
	keyFile  = "tls.key"
)

const (
	// selfSignedLife is what browsers and systems take at most of a
	// certificate that a person told them to trust.
	selfSignedLife = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 30 * 24 * time.Hour
	// lookEvery is how often a running server looks whether it has to.
	lookEvery = time.Minute
)

// SelfSigned returns the certificate that names hosts, kept in dir: the one
// there, or a new one where there is none, it is about to end, a host is
// missing in it, or it cannot be read. Hosts are names and addresses; what no
// certificate can name is left out.
func SelfSigned(dir string, hosts []string, now func() time.Time) (tls.Certificate, error) {
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return !nameable(h) })
	cert, err := loadSelfSigned(dir, hosts, now())
	if err == nil {
		return cert, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return cert, fault.Unavailable(fmt.Sprintf("The certificate files in %s cannot be read. Check who owns them.", dir)).Because(err)
	}
	if err := makeSelfSigned(dir, hosts, now()); err != nil {
		return cert, fault.Unavailable(fmt.Sprintf("The certificate files in %s cannot be written. Check who owns the folder.", dir)).Because(err)
	}
	return loadSelfSigned(dir, hosts, now())
}

// nameable tells that a certificate can name the host: an address without a
// zone, or a name in ASCII.
func nameable(host string) bool {
	return host != "" && (net.ParseIP(host) != nil || strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._") == "")
}

func addHost(c *x509.Certificate, host string) {
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = append(c.IPAddresses, ip)
	} else {
		c.DNSNames = append(c.DNSNames, host)
	}
}

func loadSelfSigned(dir string, hosts []string, now time.Time) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil {
		return cert, err
	}
	if now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter.Add(-renewBefore)) {
		return cert, errors.New("the certificate is about to end")
	}
	for _, h := range hosts {
		if err := cert.Leaf.VerifyHostname(h); err != nil {
			return cert, err
		}
	}
	return cert, os.Chmod(filepath.Join(dir, keyFile), 0o600)
}

// makeSelfSigned writes a new pair. A crash between the two files leaves a
// pair that does not fit, which the next start finds and makes anew.
func makeSelfSigned(dir string, hosts []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := selfSignedTemplate(hosts, now)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(
		writeWhole(filepath.Join(dir, keyFile), 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		writeWhole(filepath.Join(dir, certFile), 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func selfSignedTemplate(hosts []string, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Sealpost", Organization: []string{"Sealpost (self-signed)"}},
		// Clocks of clients differ from ours.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// It vouches for itself and for nothing else.
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		addHost(t, h)
	}
	return t, nil
}

// writeWhole makes the file appear whole under its name.
func writeWhole(path string, mode os.FileMode, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tls-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// KeepSelfSigned is SelfSigned for a server that runs: the certificate is made
// anew in time while it does.
func KeepSelfSigned(dir string, hosts []string, now func() time.Time, log *slog.Logger) (CertificateFunc, error) {
	return keep(now, log, func(*tls.Certificate) (tls.Certificate, error) { return SelfSigned(dir, hosts, now) })
}

// KeepFiles returns the certificate and key in two PEM files, and reads them
// again when they change, so that a renewed certificate needs no restart. A
// pair that does not fit, as in the middle of a renewal, is not taken over.
func KeepFiles(cert, key string, now func() time.Time, log *slog.Logger) (CertificateFunc, error) {
	var seen [2]time.Time
	return keep(now, log, func(have *tls.Certificate) (tls.Certificate, error) {
		changed, err := modified(cert, key)
		if err == nil && have != nil && changed == seen {
			return *have, nil
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return pair, fault.Invalid("tls_cert", fmt.Sprintf("The certificate %s and the key %s cannot be used: %s.", cert, key, publicReason(err))).Because(err)
		}
		seen = changed
		return pair, nil
	})
}

// publicReason says what is wrong without the paths, which the sentence holds.
func publicReason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return "they are no PEM files that fit together"
}

func modified(cert, key string) (at [2]time.Time, err error) {
	for i, path := range []string{cert, key} {
		info, err := os.Stat(path)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

// keeper holds a certificate and asks now and then for a newer one.
type keeper struct {
	mu     sync.Mutex
	cert   tls.Certificate
	looked time.Time
}

// keep calls load at once and then once in lookEvery, when a client comes. A
// failure after the first is logged, and the certificate at hand serves on.
func keep(now func() time.Time, log *slog.Logger, load func(have *tls.Certificate) (tls.Certificate, error)) (CertificateFunc, error) {
	cert, err := load(nil)
	if err != nil {
		return nil, err
	}
	k := &keeper{cert: cert, looked: now()}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if at := now(); at.Sub(k.looked) >= lookEvery {
			k.looked = at
			if cert, err := load(&k.cert); err != nil {
				log.Error("the certificate of the web interface cannot be renewed", "err", err)
			} else {
				k.cert = cert
			}
		}
		cert := k.cert
		return &cert, nil
	}, nil
}
