package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed" // for the certificate that no library makes any more
	"encoding/pem"
	"net"
	"time"
)

// Host is the name that a client types in the cases of [Lab.Cases].
const Host = "mail.example.org"

// Case is a server's certificate as it is met in the world, and what somebody
// imported for it.
type Case struct {
	// ID is the number in the list of cases, with a letter where it has several
	// forms; What says it in words.
	ID, What string
	// Host is what the client typed.
	Host string
	// Server is what the server shows.
	Server tls.Certificate
	// Import are the certificates trusted as anchors, Pin those whose key is
	// pinned.
	Import, Pin []*x509.Certificate
	// Old makes a server that speaks TLS 1.1 at most.
	Old bool
	// Good tells that the server is to be believed.
	Good bool
}

// Config returns the server's side of TLS.
func (c Case) Config() *tls.Config {
	cfg := &tls.Config{Certificates: []tls.Certificate{c.Server}}
	if c.Old {
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	}
	return cfg
}

// Leaf returns the server's own certificate.
func (c Case) Leaf() *x509.Certificate {
	leaf, err := x509.ParseCertificate(c.Server.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

//go:embed testdata/rsa512.pem
var rsa512 []byte

// RSA512 returns a certificate for [Host] whose RSA key has 512 bits. It has no
// private key here: Go refuses to work with one.
func RSA512() []byte {
	block, _ := pem.Decode(rsa512)
	return block.Bytes
}

// Cases returns the certificate cases: C1 to C17 and C19 to C21. C18 is a key
// that no Go server can have (see [RSA512]), C22 is about files.
func (l *Lab) Cases() []Case {
	l.t.Helper()
	return append(append(l.chains(), l.selfSigned()...), l.refused()...)
}

func one(c *Cert) []*x509.Certificate { return []*x509.Certificate{c.Certificate} }

const day = 24 * time.Hour

// chains are certificates that an authority signed.
func (l *Lab) chains() []Case {
	root := l.Make(Order{Name: "Example Root", CA: true})
	between := l.Make(Order{Name: "Example Issuing", CA: true, By: root})
	leaf := l.Make(Order{Name: Host, DNS: []string{Host}, By: root})
	deep := l.Make(Order{Name: Host, DNS: []string{Host}, By: between})
	star := l.Make(Order{DNS: []string{"*.example.org"}, By: root})
	otherName := l.Make(Order{DNS: []string{"other.example.org", "smtp.example.net"}, By: root})
	expired := l.Make(Order{DNS: []string{Host}, By: root, From: -9 * day, Until: -day})
	early := l.Make(Order{DNS: []string{Host}, By: root, From: day, Until: 9 * day})
	address := l.Make(Order{IP: []net.IP{net.IPv4(127, 0, 0, 1)}, By: root})
	asName := l.Make(Order{DNS: []string{"127.0.0.1", Host}, By: root})
	return []Case{
		{ID: "C1", What: "good, authority imported", Host: Host, Server: leaf.TLS(), Import: one(root), Good: true},
		{ID: "C1b", What: "good, wildcard", Host: Host, Server: star.TLS(), Import: one(root), Good: true},
		{ID: "C2a", What: "authority unknown", Host: Host, Server: leaf.TLS(root)},
		{ID: "C2b", What: "intermediate missing", Host: Host, Server: deep.TLS(), Import: one(root)},
		{ID: "C2c", What: "intermediate sent", Host: Host, Server: deep.TLS(between), Import: one(root), Good: true},
		{ID: "C3a", What: "wrong name", Host: Host, Server: otherName.TLS(), Import: one(root)},
		{ID: "C3b", What: "wildcard two labels deep", Host: "a.b.example.org", Server: star.TLS(), Import: one(root)},
		{ID: "C4", What: "expired", Host: Host, Server: expired.TLS(), Import: one(root)},
		{ID: "C5", What: "not yet valid", Host: Host, Server: early.TLS(), Import: one(root)},
		{ID: "C10", What: "address with an address in it", Host: "127.0.0.1", Server: address.TLS(), Import: one(root), Good: true},
		{ID: "C11a", What: "address written as a name", Host: "127.0.0.1", Server: asName.TLS(), Import: one(root)},
		{ID: "C11b", What: "address, certificate for a name", Host: "127.0.0.1", Server: leaf.TLS(), Import: one(root)},
		{ID: "C14", What: "intermediate imported instead of root", Host: Host, Server: deep.TLS(), Import: one(between), Good: true},
	}
}

// selfSigned are certificates that nobody else signed.
func (l *Lab) selfSigned() []Case {
	own := l.Make(Order{Name: Host, DNS: []string{Host}})
	other := l.Make(Order{Name: "appliance", DNS: []string{"appliance.lan"}})
	stale := l.Make(Order{Name: Host, DNS: []string{Host}, From: -9 * day, Until: -day})
	nameless := l.Make(Order{Name: Host})
	fresh := l.Make(Order{Name: Host, DNS: []string{Host}})
	return []Case{
		{ID: "C6", What: "self-signed, not imported", Host: Host, Server: own.TLS()},
		{ID: "C7", What: "self-signed, imported", Host: Host, Server: own.TLS(), Import: one(own), Good: true},
		{ID: "C7b", What: "self-signed, pinned", Host: Host, Server: own.TLS(), Pin: one(own), Good: true},
		{ID: "C8a", What: "self-signed for another name, imported", Host: Host, Server: other.TLS(), Import: one(other)},
		{ID: "C8b", What: "self-signed and expired, imported", Host: Host, Server: stale.TLS(), Import: one(stale)},
		{ID: "C8c", What: "self-signed for another name, pinned", Host: Host, Server: other.TLS(), Pin: one(other), Good: true},
		{ID: "C8d", What: "self-signed and expired, pinned", Host: Host, Server: stale.TLS(), Pin: one(stale), Good: true},
		{ID: "C9a", What: "common name alone, imported", Host: Host, Server: nameless.TLS(), Import: one(nameless)},
		{ID: "C9b", What: "common name alone, pinned", Host: Host, Server: nameless.TLS(), Pin: one(nameless), Good: true},
		{ID: "C21", What: "pinned key replaced", Host: Host, Server: fresh.TLS(), Pin: one(own)},
	}
}

// refused are certificates that nothing makes good.
func (l *Lab) refused() []Case {
	root := l.Make(Order{Name: "Example Root", CA: true})
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	clientLeaf := l.Make(Order{DNS: []string{Host}, By: root, Usage: client})
	clientSelf := l.Make(Order{DNS: []string{Host}, Usage: client})
	narrow := l.Make(Order{Name: "Elsewhere Root", CA: true, Permitted: []string{"example.net"}})
	beyond := l.Make(Order{DNS: []string{Host}, By: narrow})
	noCA := l.Make(Order{Name: "Not an authority", DNS: []string{"x.example.org"}})
	signedByNoCA := l.Make(Order{DNS: []string{Host}, By: noCA})
	oldRoot := l.Make(Order{Name: "Old Root", CA: true, From: -9 * day, Until: -day})
	ofOld := l.Make(Order{DNS: []string{Host}, By: oldRoot})
	short := l.Make(Order{DNS: []string{Host}, By: root, Key: RSA1024})
	shortSelf := l.Make(Order{DNS: []string{Host}, Key: RSA1024})
	curve := l.Make(Order{Name: "Small Curve Root", CA: true, Key: P224})
	ofCurve := l.Make(Order{DNS: []string{Host}, By: curve})
	strong := l.Make(Order{Name: "RSA Root", CA: true, Key: RSA2048})
	sha := l.Make(Order{DNS: []string{Host}, By: strong, Signature: "SHA-1"})
	md := l.Make(Order{DNS: []string{Host}, By: strong, Signature: "MD5"})
	old := l.Make(Order{DNS: []string{Host}, By: root})
	return []Case{
		{ID: "C12a", What: "for clients only", Host: Host, Server: clientLeaf.TLS(), Import: one(root)},
		{ID: "C12b", What: "for clients only, self-signed, imported", Host: Host, Server: clientSelf.TLS(), Import: one(clientSelf)},
		{ID: "C13", What: "name constraint violated", Host: Host, Server: beyond.TLS(), Import: one(narrow)},
		{ID: "C15", What: "signed by one that is no authority, imported", Host: Host, Server: signedByNoCA.TLS(), Import: one(noCA)},
		{ID: "C16", What: "imported authority expired", Host: Host, Server: ofOld.TLS(), Import: one(oldRoot)},
		{ID: "C17a", What: "RSA of 1024 bits", Host: Host, Server: short.TLS(), Import: one(root)},
		{ID: "C17b", What: "RSA of 1024 bits, pinned", Host: Host, Server: shortSelf.TLS(), Pin: one(shortSelf)},
		{ID: "C17c", What: "authority with a curve of 224 bits", Host: Host, Server: ofCurve.TLS(curve), Import: one(curve)},
		{ID: "C19a", What: "signed with SHA-1", Host: Host, Server: sha.TLS(), Import: one(strong)},
		{ID: "C19b", What: "signed with MD5", Host: Host, Server: md.TLS(), Import: one(strong)},
		{ID: "C20", What: "TLS 1.1 at most", Host: Host, Server: old.TLS(), Import: one(root), Old: true},
	}
}
