package operator

import (
	"time"

	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/dkim"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/vault"
)

// Config is what the commands work with. All of it is required, but for what
// says otherwise.
type Config struct {
	DB     *store.DB
	Keys   *keyring.Keyring
	Audit  *audit.Log
	Outbox *outbox.Outbox
	// Bounces knows what came back.
	Bounces *bounce.Service
	Mail    *mail.Service
	Doctor  *diagnose.Doctor
	// Second is the mail server beside the first, Servers both of them.
	Second       *mail.Service
	SecondDoctor *diagnose.Doctor
	Servers      *servers.Service
	// DKIM keeps the keys that letters are signed with.
	DKIM  *dkim.Service
	Users *identity.Service
	Vault *vault.Service
	// Columns are all columns of sealed values, for the rotation of keys.
	Columns []keyring.Column
	// LocalURL returns where the web interface is on this machine, for links
	// that are given out before the Access URL is set.
	LocalURL func() string
	// Version is the release, for what is written down to be sent to others.
	Version string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// commands has a method for each command.
type commands struct{ Config }

// New returns the door with all commands.
func New(c Config) *Door {
	if c.Now == nil {
		c.Now = time.Now
	}
	do := &commands{c}
	return &Door{commands: map[string]command{
		CmdAdminCreate: typed(do.adminCreate),
		CmdAdminReset:  typed(do.adminReset),
		CmdKeyStatus:   typed(do.keyStatus),
		CmdKeyRotate:   typed(do.keyRotate),
		CmdAuditVerify: typed(do.auditVerify),
		CmdAuditList:   typed(do.auditList),
		CmdTrustImport: typed(do.trustImport),
		CmdTrustList:   typed(do.trustList),
		CmdTrustRemove: typed(do.trustRemove),
		CmdMailTest:    typed(do.mailTest),
		CmdMailStatus:  typed(do.mailStatus),
		CmdMailJournal: typed(do.mailJournal),
		CmdMailDKIM:    typed(do.mailDKIM),
		CmdMailBounces: typed(do.mailBounces),
		CmdApply:       typed(do.apply),
	}}
}

// none are the arguments of commands that take none.
type none struct{}
