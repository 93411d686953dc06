package peers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Relay is a running Postfix that takes letters in, keeps them in its queue on
// disk and hands them to one server, by at most four connections at a time that
// it uses again. It is set up to be quick: no DNS, no mending of headers, no
// log, no slowing down of anybody.
type Relay struct {
	// Port of 127.0.0.1 takes letters from anybody, without TLS.
	Port int

	dir string
}

// relays runs Postfix in the folder $2 until standard input ends.
const relays = `
trap '' HUP INT QUIT TERM
"$1" -s -c "$2/postfix" >"$2/postfix.out" 2>&1 </dev/null &
postfix=$!
read -r end
kill -TERM $postfix
wait
rm -rf "$2"
`

// PostfixRelay starts a Relay for the server on a port of 127.0.0.1, to which it
// speaks over STARTTLS. With port 0 letters stay in the queue, on hold. It ends
// with the test.
func PostfixRelay(t testing.TB, port int) *Relay {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "Postfix", errors.New("it needs root"))
	}
	p, err := findPostfix()
	if err != nil {
		Missing(t, "Postfix", err)
	}
	// A port that was free may be taken by the time Postfix asks for it.
	for range 3 {
		var r *Relay
		if r, err = startRelay(t, p, port); err == nil {
			return r
		}
	}
	t.Fatalf("Postfix: %v", err)
	return nil
}

func startRelay(t testing.TB, p programs, port int) (*Relay, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sealpost-relay-")
	if err != nil {
		return nil, err
	}
	r := &Relay{Port: ports[0], dir: dir}
	if err := r.prepare(p, port); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	pipe, gone, err := supervised(relays, p.master, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if !within(startWait, gone, func() bool { return greets(r.Port) }) {
		said, _ := os.ReadFile(filepath.Join(dir, "postfix.out"))
		_ = pipe.Close()
		<-gone
		return nil, fmt.Errorf("it did not start: %s", said)
	}
	t.Cleanup(func() {
		_ = pipe.Close()
		<-gone
	})
	return r, nil
}

// prepare writes the folder: configuration and queue.
func (r *Relay) prepare(p programs, port int) error {
	postfix, err := idsOf("postfix")
	if err != nil {
		return err
	}
	hold := ""
	if port == 0 {
		hold = "smtpd_client_restrictions = static:HOLD\n"
	}
	main := strings.NewReplacer("$DIR", r.dir, "$DAEMONS", p.daemons, "$NEXT", strconv.Itoa(port)).Replace(`
compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/state
daemon_directory = $DAEMONS
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
local_header_rewrite_clients =
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
in_flow_delay = 0
default_process_limit = 100
relayhost = [127.0.0.1]:$NEXT
smtp_tls_security_level = encrypt
smtp_tls_connection_reuse = yes
smtp_connection_cache_on_demand = yes
smtp_destination_concurrency_limit = 4
initial_destination_concurrency = 4
`) + hold
	master := strings.ReplaceAll(`
127.0.0.1:$PORT inet n - n - - smtpd
  -o smtpd_tls_security_level=none
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, "$PORT", strconv.Itoa(r.Port))
	return errors.Join(
		os.Chmod(r.dir, 0o755),
		os.Mkdir(filepath.Join(r.dir, "postfix"), 0o755),
		os.Mkdir(filepath.Join(r.dir, "state"), 0o700),
		os.Chown(filepath.Join(r.dir, "state"), postfix[0], postfix[1]),
		makeQueue(r.dir, postfix),
		os.WriteFile(filepath.Join(r.dir, "postfix/main.cf"), []byte(main), 0o644),
		os.WriteFile(filepath.Join(r.dir, "postfix/master.cf"), []byte(master), 0o644),
	)
}
