package peers

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Bounces is a mailbox behind a running Postfix that takes letters in, hands them
// to the MailServer and reports what that refuses, and a Dovecot that serves the
// mailbox over IMAP.
type Bounces struct {
	// Port takes letters from anybody, without TLS.
	Port int
	// STARTTLS and Implicit serve the mailbox; the certificate is of the
	// MailServer's authority.
	STARTTLS, Implicit int
	// Address is the mailbox's, with or without something behind a +. Login and
	// Password open it.
	Address, Login, Password string

	dir  string
	pipe *os.File
	gone <-chan struct{}
	put  int
}

// bouncesServer runs as long as the test binary, and has a mailbox for each test.
var bouncesServer = sync.OnceValues(func() (b Bounces, err error) {
	m, err := mailServer()
	if err != nil {
		return b, err
	}
	p, err := findPrograms()
	if err == nil {
		_, err = program("/usr/lib/dovecot/imap", "/usr/libexec/dovecot/imap")
	}
	if err != nil {
		return b, err
	}
	// A port that was free may be taken by the time it is asked for.
	for range 3 {
		b = Bounces{Password: rand.Text()}
		if err = b.start(m, p); err == nil {
			return b, nil
		}
	}
	return b, err
})

// BounceMailbox returns an empty mailbox.
func BounceMailbox(t testing.TB) *Bounces {
	t.Helper()
	b, err := bouncesServer()
	if err != nil {
		Missing(t, "Postfix, and Dovecot with IMAP", err)
	}
	n := int(bouncesTaken.Add(1)) - 1
	if n >= mailboxes {
		t.Fatalf("there are %d mailboxes", mailboxes)
	}
	b.Login = mailboxName(n)
	b.Address = b.Login + "@example.org"
	nobody, err := idsOf("nobody")
	for _, folder := range []string{"", "tmp", "new", "cur"} {
		path := filepath.Join(b.dir, "mail", b.Login, folder)
		err = errors.Join(err, os.MkdirAll(path, 0o700), os.Chown(path, nobody[0], nobody[1]))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &b
}

func (b *Bounces) start(m *MailServer, p programs) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	b.Port, b.STARTTLS, b.Implicit = ports[0], ports[1], ports[2]
	if b.dir, err = os.MkdirTemp("", "sealpost-bounces-"); err != nil {
		return err
	}
	if err := b.prepare(m, p); err != nil {
		return errors.Join(err, os.RemoveAll(b.dir))
	}
	pipe, gone, err := supervised(supervise, p.dovecot, p.master, b.dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(b.dir))
	}
	b.gone = gone
	if !within(startWait, gone, func() bool { return greets(b.Port) && greetsWith(b.STARTTLS, "* OK") }) {
		said := lastLines(b.Log(), 20)
		_ = pipe.Close()
		<-gone
		return fmt.Errorf("it did not start: %s", said)
	}
	b.pipe = pipe
	return nil
}

// bouncesTaken counts the mailboxes that tests have.
var bouncesTaken atomic.Int32

// mailboxes is how many there are.
const mailboxes = 200

func mailboxName(n int) string { return fmt.Sprintf("box%03d", n) }

// Log returns what the servers said.
func (b *Bounces) Log() string {
	var s strings.Builder
	for _, name := range []string{"dovecot.out", "postfix.out", "dovecot.log", "postfix.log"} {
		text, _ := os.ReadFile(filepath.Join(b.dir, name))
		s.Write(text)
	}
	return s.String()
}

// Put lays a mail into the mailbox, as if it had come.
func (b *Bounces) Put(t testing.TB, mail []byte) {
	t.Helper()
	b.put++
	name := fmt.Sprintf("%d.put%d.test", 1_800_000_000+b.put, b.put)
	box := filepath.Join(b.dir, "mail", b.Login)
	nobody, err := idsOf("nobody")
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(box, "tmp", name), mail, 0o600), os.Chown(filepath.Join(box, "tmp", name), nobody[0], nobody[1]),
			os.Rename(filepath.Join(box, "tmp", name), filepath.Join(box, "new", name)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Count returns how many mails lie in a folder, "" for the first one.
func (b *Bounces) Count(t testing.TB, folder string) int {
	t.Helper()
	box := filepath.Join(b.dir, "mail", b.Login)
	if folder != "" {
		box = filepath.Join(box, "."+folder)
	}
	n := 0
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(box, sub))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		n += len(entries)
	}
	return n
}

// Wait waits until at least n mails lie in the mailbox.
func (b *Bounces) Wait(t testing.TB, n int) {
	t.Helper()
	if !within(deliverWait, b.gone, func() bool { return b.Count(t, "") >= n }) {
		t.Fatalf("fewer than %d mails came back\n%s", n, lastLines(b.Log(), 40))
	}
}

func (b *Bounces) prepare(m *MailServer, p programs) error {
	nobody, err := idsOf("nobody")
	if err != nil {
		return err
	}
	postfix, err := idsOf("postfix")
	if err != nil {
		return err
	}
	chain, err := m.Authority.Issue(Host, "127.0.0.1")
	if err != nil {
		return err
	}
	err = errors.Join(
		os.Chmod(b.dir, 0o755),
		os.MkdirAll(filepath.Join(b.dir, "postfix"), 0o755),
		os.MkdirAll(filepath.Join(b.dir, "state"), 0o700),
		os.Chown(filepath.Join(b.dir, "state"), postfix[0], postfix[1]),
		makeQueue(b.dir, postfix),
	)
	err = errors.Join(err, os.MkdirAll(filepath.Join(b.dir, "mail"), 0o700), os.Chown(filepath.Join(b.dir, "mail"), nobody[0], nobody[1]))
	var boxes strings.Builder
	for n := range mailboxes {
		fmt.Fprintf(&boxes, "%[1]s@example.org %[1]s/\n", mailboxName(n))
	}
	fill := strings.NewReplacer("$DIR", b.dir, "$DAEMONS", p.daemons, "$UID", strconv.Itoa(nobody[0]), "$GID", strconv.Itoa(nobody[1]),
		"$PORT", strconv.Itoa(b.Port), "$BEHIND", strconv.Itoa(m.Relay), "$STARTTLS", strconv.Itoa(b.STARTTLS), "$PASSWORD", b.Password, "$IMPLICIT", strconv.Itoa(b.Implicit))
	for name, text := range map[string]string{
		"postfix/main.cf": bouncesMainCF, "postfix/master.cf": bouncesMasterCF, "dovecot.conf": bouncesDovecot, "chain.pem": string(chain),
		"postfix/mailboxes": boxes.String(),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(b.dir, name), []byte(fill.Replace(text)), 0o644))
	}
	return errors.Join(err, os.Chmod(filepath.Join(b.dir, "chain.pem"), 0o600))
}

const bouncesMainCF = `
compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/state
daemon_directory = $DAEMONS
maillog_file = $DIR/postfix.log
maillog_file_prefixes = $DIR
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = front.example.org
myorigin = example.org
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = example.org
virtual_mailbox_base = $DIR/mail
virtual_mailbox_maps = texthash:$DIR/postfix/mailboxes
virtual_uid_maps = static:$UID
virtual_gid_maps = static:$GID
virtual_mailbox_limit = 0
recipient_delimiter = +
relayhost = [127.0.0.1]:$BEHIND
relay_domains =
default_transport = smtp
notify_classes =
smtpd_error_sleep_time = 0
default_process_limit = 20
`

const bouncesMasterCF = `
127.0.0.1:$PORT inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

const bouncesDovecot = `
base_dir = $DIR/dovecot
state_dir = $DIR/dovecot
log_path = $DIR/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <$DIR/chain.pem
ssl_key = <$DIR/chain.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
mail_location = maildir:$DIR/mail/%u
first_valid_uid = 1
mail_fsync = never
passdb {
  driver = static
  args = password=$PASSWORD
}
userdb {
  driver = static
  args = uid=$UID gid=$GID home=$DIR/mail/%u
}
service imap-login {
  inet_listener imap {
    port = $STARTTLS
  }
  inet_listener imaps {
    port = $IMPLICIT
    ssl = yes
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`
