package smtp

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/sealpost/sealpost/internal/mail/sasl"
)

// Security is what happens on the wire.
type Security string

// The ways to connect.
const (
	// None sends everything in clear.
	None Security = "none"
	// STARTTLS turns to TLS after the greeting and refuses to go on without
	// (RFC 3207).
	STARTTLS Security = "starttls"
	// Implicit begins with TLS (RFC 8314 3.3).
	Implicit Security = "implicit"
)

// Timeouts bound the parts of a connection. Zero fields take the defaults.
type Timeouts struct {
	// Connect covers resolving and connecting.
	Connect time.Duration
	// Greeting covers the wait for the server's first words.
	Greeting time.Duration
	// Command covers one command and its whole reply, and the handshake.
	Command time.Duration
	// Final covers the wait for the answer to the content; RFC 5321 4.5.3.2.6
	// wants ten minutes.
	Final time.Duration
}

// MinRate is the rate, in bytes a second, below which a server that takes
// content is given up.
const MinRate = 500

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Connect, 30*time.Second)
	set(&t.Greeting, 60*time.Second)
	set(&t.Command, 60*time.Second)
	set(&t.Final, 10*time.Minute)
	return t
}

// Auth says how to sign in.
type Auth struct {
	sasl.Credential
	// Mechanism fixes the mechanism; empty takes the strongest that the server
	// offers.
	Mechanism string
}

// Config is what a connection needs.
type Config struct {
	Host     string
	Port     int
	Security Security
	// TLS verifies the server. Required unless Security is None.
	TLS *tls.Config
	// LocalName is what the client calls itself in EHLO.
	LocalName string
	// Auth is nil where the server wants no sign-in.
	Auth *Auth
	// AllowClearAuth permits to sign in without TLS. It takes an
	// administrator's typed confirmation.
	AllowClearAuth bool
	Timeouts       Timeouts
	// Dial connects; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Memory, if not nil, knows which servers do not keep what they announce, and
	// learns of further ones. One is shared by all connections.
	Memory *Memory
	// Observe, if not nil, is told of each step as it ends.
	Observe func(Event)
	// Transcript, if not nil, records the dialogue without credentials.
	Transcript *Transcript
}

// Stage names a step.
type Stage string

// The steps of a connection and of a letter, in their order.
const (
	StageResolve  Stage = "resolve"
	StageConnect  Stage = "connect"
	StageGreeting Stage = "greeting"
	StageTLS      Stage = "tls"
	StageEHLO     Stage = "ehlo"
	StageAuth     Stage = "auth"
	StageMail     Stage = "mail"
	StageRcpt     Stage = "rcpt"
	StageData     Stage = "data"
	StageContent  Stage = "content"
)

// Event tells that a step ended well.
type Event struct {
	Stage Stage
	// Detail are facts for a person: addresses, the greeting, capabilities.
	// What a server said in it has no control characters.
	Detail []string
	// TLS is set for StageTLS.
	TLS *tls.ConnectionState
	// Took is the time of the step.
	Took time.Duration
}
