package peers

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	startWait = 30 * time.Second
	// Host is the name under which the mail server is reached and which its
	// certificate carries.
	Host = "localhost"
)

// MailServer is a running Postfix that takes every address as its own and puts
// every mail into one mailbox. Senders prove themselves to Dovecot, which
// serves PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1 and SCRAM-SHA-256.
//
// Addresses that begin with "refused" are refused for good (550), those that
// begin with "later" for now (450).
type MailServer struct {
	// Authority issued the server's certificate.
	Authority *Authority
	// Submission wants STARTTLS and a sign-in, Implicit begins with TLS and
	// wants a sign-in, Relay has neither TLS nor needs a sign-in, though it
	// takes one. Guarded wants STARTTLS and a client certificate of the
	// Authority's, and no sign-in.
	Submission, Implicit, Relay, Guarded int

	dir  string
	pipe *os.File
	gone <-chan struct{}

	mu        sync.Mutex
	passwords map[string]string
	changes   int64
	// seen are files of the mailbox that were read into box, by recipient.
	seen map[string]bool
	box  map[string][]arrival
}

// Postfix returns the mail server of this test binary, started by the first
// caller.
func Postfix(t testing.TB) *MailServer {
	t.Helper()
	m, err := mailServer()
	if err != nil {
		Missing(t, "Postfix and Dovecot", err)
	}
	return m
}

var mailServer = sync.OnceValues(func() (*MailServer, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("they need root")
	}
	var err error
	// A port that was free may be taken by the time Postfix asks for it.
	for range 3 {
		var m *MailServer
		if m, err = startMailServer(); err == nil {
			return m, nil
		}
	}
	return nil, err
})

// programs are the files of the machine that the server runs.
type programs struct{ master, daemons, dovecot string }

func findPrograms() (programs, error) {
	p, err := findPostfix()
	if err != nil {
		return p, err
	}
	p.dovecot, err = program("dovecot", "/usr/sbin/dovecot")
	return p, err
}

func findPostfix() (programs, error) {
	var p programs
	for _, folder := range []string{"/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix"} {
		if _, err := os.Stat(filepath.Join(folder, "master")); err == nil {
			p.daemons, p.master = folder, filepath.Join(folder, "master")
			break
		}
	}
	if p.master == "" {
		return p, errors.New("Postfix is not installed")
	}
	return p, nil
}

// supervise runs both servers in the folder $3 until standard input ends.
const supervise = `
trap '' HUP INT QUIT TERM
"$1" -F -c "$3/dovecot.conf" >"$3/dovecot.out" 2>&1 </dev/null &
dovecot=$!
"$2" -s -c "$3/postfix" >"$3/postfix.out" 2>&1 </dev/null &
postfix=$!
read -r end
kill -TERM $dovecot $postfix
wait
rm -rf "$3"
`

func startMailServer() (*MailServer, error) {
	p, err := findPrograms()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	authority, err := NewAuthority("Private Mail CA")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sealpost-mail-")
	if err != nil {
		return nil, err
	}
	m := &MailServer{
		Authority: authority, Submission: ports[0], Implicit: ports[1], Relay: ports[2], Guarded: ports[3],
		dir: dir, passwords: map[string]string{}, seen: map[string]bool{}, box: map[string][]arrival{},
	}
	if err := m.prepare(p); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if m.pipe, m.gone, err = supervised(supervise, p.dovecot, p.master, dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for _, port := range []int{m.Submission, m.Relay} {
		if !within(startWait, m.gone, func() bool { return greets(port) }) {
			said := m.Log()
			_ = m.pipe.Close()
			return nil, fmt.Errorf("the mail server did not start: %s", said)
		}
	}
	return m, nil
}

func greets(port int) bool { return greetsWith(port, "220 ") }

// greetsWith reports whether the server on a port begins with a word.
func greetsWith(port int, word string) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(line, word)
}

// Log returns what the servers said.
func (m *MailServer) Log() string {
	var b strings.Builder
	for _, name := range []string{"dovecot.out", "postfix.out", "dovecot.log", "postfix.log"} {
		if text, err := os.ReadFile(filepath.Join(m.dir, name)); err == nil {
			b.Write(text)
		}
	}
	return b.String()
}

// AddUser lets a sender sign in. A user that exists gets the password, and the
// one before is refused from then on. The user name is kept simple: letters,
// digits, and what stands in an address.
func (m *MailServer) AddUser(t testing.TB, login, password string) {
	t.Helper()
	if err := m.setPassword(login, password); err != nil {
		t.Fatalf("setting the password of a mail user: %v", err)
	}
	// Dovecot looks at the file once a second.
	if !within(startWait, m.gone, func() bool { return m.signsIn(login, password) }) {
		t.Fatalf("the password of a mail user was not taken\n%s", lastLines(m.Log(), 20))
	}
}

func (m *MailServer) setPassword(login, password string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passwords[login] = password
	return m.writePasswords()
}

// signsIn reports whether the server takes the password, asked with the
// standard library's client.
func (m *MailServer) signsIn(login, password string) bool {
	c, err := smtp.Dial(net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Relay)))
	if err != nil {
		return false
	}
	defer c.Close()
	return c.Auth(smtp.PlainAuth("", login, password, "127.0.0.1")) == nil
}

// writePasswords replaces Dovecot's file. Dovecot looks at its time, in whole
// seconds, to see whether to read it again, so each change gets a later one.
func (m *MailServer) writePasswords() error {
	var b strings.Builder
	for login, password := range m.passwords {
		fmt.Fprintf(&b, "%s:{PLAIN.B64}%s::::::nodelay=y\n", login, base64.StdEncoding.EncodeToString([]byte(password)))
	}
	m.changes++
	path := filepath.Join(m.dir, "passwords")
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o644); err != nil {
		return err
	}
	when := time.Unix(1_700_000_000+m.changes, 0)
	return errors.Join(os.Chtimes(path+".new", when, when), os.Rename(path+".new", path))
}

// prepare writes the folder: configuration, certificate, queue, mailbox.
func (m *MailServer) prepare(p programs) error {
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
	if err := errors.Join(
		os.Chmod(m.dir, 0o755),
		os.MkdirAll(filepath.Join(m.dir, "postfix"), 0o755),
		os.MkdirAll(filepath.Join(m.dir, "mail"), 0o700),
		os.Chown(filepath.Join(m.dir, "mail"), nobody[0], nobody[1]),
		os.MkdirAll(filepath.Join(m.dir, "state"), 0o700),
		os.Chown(filepath.Join(m.dir, "state"), postfix[0], postfix[1]),
		m.writePasswords(),
		makeQueue(m.dir, postfix),
	); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"postfix/main.cf":   m.mainCF(p, nobody),
		"postfix/master.cf": m.masterCF(),
		"postfix/recipients": "/^refused/ 550 5.1.1 No such user here\n" +
			"/^later/ 450 4.2.1 The mailbox is busy\n",
		"dovecot.conf":  m.dovecotConf(),
		"authority.pem": string(m.Authority.PEM()),
		"chain.pem":     string(chain),
	} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(m.dir, "chain.pem"), 0o600)
}

func idsOf(name string) ([2]int, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return [2]int{}, err
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	return [2]int{uid, gid}, errors.Join(errU, errG)
}

// makeQueue makes Postfix's queue in dir the way "postfix check" does.
func makeQueue(dir string, postfix [2]int) error {
	root := filepath.Join(dir, "queue")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for _, name := range []string{
		"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
		"maildrop", "private", "public", "saved", "trace", "pid",
	} {
		path := filepath.Join(root, name)
		mode := os.FileMode(0o700)
		if slices.Contains([]string{"private", "public", "pid"}, name) {
			mode = 0o755 // Dovecot's socket is asked for by the mail owner
		}
		if err := errors.Join(os.Mkdir(path, mode), os.Chmod(path, mode)); err != nil {
			return err
		}
		if name != "pid" {
			if err := os.Chown(path, postfix[0], postfix[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// mainCF configures Postfix: no DNS, every domain is its own, nothing about a
// mail is mended, and nobody is slowed down.
func (m *MailServer) mainCF(p programs, nobody [2]int) string {
	return strings.NewReplacer("$DIR", m.dir, "$DAEMONS", p.daemons,
		"$UID", strconv.Itoa(nobody[0]), "$GID", strconv.Itoa(nobody[1])).Replace(`
compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/state
daemon_directory = $DAEMONS
maillog_file = $DIR/postfix.log
maillog_file_prefixes = $DIR
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = static:all
virtual_mailbox_base = $DIR/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:$UID
virtual_gid_maps = static:$GID
virtual_mailbox_limit = 0
local_header_rewrite_clients =
smtpd_recipient_restrictions = check_recipient_access regexp:$DIR/postfix/recipients, permit_mynetworks, reject
smtpd_tls_chain_files = $DIR/chain.pem
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sasl_auth_enable = yes
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
default_process_limit = 60
`)
}

func (m *MailServer) masterCF() string {
	return strings.NewReplacer("$SUBMISSION", strconv.Itoa(m.Submission), "$IMPLICIT", strconv.Itoa(m.Implicit),
		"$RELAY", strconv.Itoa(m.Relay), "$GUARDED", strconv.Itoa(m.Guarded), "$DIR", m.dir).Replace(`
127.0.0.1:$SUBMISSION inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o { smtpd_recipient_restrictions = check_recipient_access regexp:${config_directory}/recipients, permit_sasl_authenticated, reject }
127.0.0.1:$IMPLICIT inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o { smtpd_recipient_restrictions = check_recipient_access regexp:${config_directory}/recipients, permit_sasl_authenticated, reject }
127.0.0.1:$RELAY inet n - n - - smtpd
  -o smtpd_tls_security_level=none
127.0.0.1:$GUARDED inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_req_ccert=yes
  -o smtpd_tls_CAfile=$DIR/authority.pem
  -o { smtpd_recipient_restrictions = check_recipient_access regexp:${config_directory}/recipients, permit_tls_all_clientcerts, reject }
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`)
}

// dovecotConf configures Dovecot to prove senders and nothing else. Failures
// are answered at once: tests make many.
func (m *MailServer) dovecotConf() string {
	return strings.ReplaceAll(`
base_dir = $DIR/dovecot
state_dir = $DIR/dovecot
log_path = $DIR/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_failure_delay = 0
disable_plaintext_auth = no
passdb {
  driver = passwd-file
  args = $DIR/passwords
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener $DIR/queue/private/auth {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`, "$DIR", m.dir)
}
