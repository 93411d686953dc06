package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtp"
)

// The keys of the checks of encryption and speed.
const (
	CheckVersions   = "tls_versions"
	CheckOffers     = "offers"
	CheckRoundTrip  = "round_trip"
	CheckThroughput = "throughput"
)

// measured is what the connection of the test showed.
type measured struct {
	// tls is the version that was agreed on; 0 without TLS.
	tls uint16
	// lines are what the server announced.
	lines []string
	// round is the shortest time of a command and its answer, accept that of
	// the letter; 0 where that was not seen.
	round, accept time.Duration
}

// measure asks the server twice for nothing and takes the shorter time.
func (t *test) measure(ctx context.Context, link mail.Link) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range 2 {
		began := time.Now()
		if !link.Alive(ctx) {
			return
		}
		if took := time.Since(began); t.seen.round == 0 || took < t.seen.round {
			t.seen.round = took
		}
	}
}

// lookAtSpeed tells what the test showed of encryption and speed.
func (t *test) lookAtSpeed(passed bool, failure error) func(context.Context) (string, []Step) {
	return func(ctx context.Context) (string, []Step) {
		var steps []Step
		if t.draft.Profile.Security != smtp.None {
			if s, ok := t.versions(ctx, passed, failure); ok {
				steps = append(steps, s)
			}
		}
		if len(t.seen.lines) > 0 {
			steps = append(steps, Step{Key: CheckOffers, Title: "What the server offers", State: OK, Detail: offersWell(t.seen.lines), Lines: inWords(t.seen.lines)})
		}
		if t.seen.round > 0 {
			steps = append(steps, Step{
				Key: CheckRoundTrip, Title: "Way there and back", State: OK, Took: t.seen.round,
				Detail: "A command and its answer take " + short3(t.seen.round) + "; the letter was taken after " + short3(t.seen.accept) + ".",
			})
		}
		if passed {
			steps = append(steps, t.throughput())
		}
		if len(steps) == 0 {
			return "The test did not come that far.", nil
		}
		return steps[len(steps)-1].Detail, steps
	}
}

// versions tells which versions of TLS the server speaks: the best one was
// agreed on, the other is tried.
func (t *test) versions(ctx context.Context, passed bool, failure error) (Step, bool) {
	s := Step{Key: CheckVersions, Title: "Versions of TLS", State: OK}
	began := time.Now()
	defer func() { s.Took = time.Since(began) }()
	switch {
	case passed && t.graph():
		s.Detail = tls.VersionName(t.seen.tls) + " was agreed on."
		return s, t.seen.tls != 0
	case passed && t.seen.tls == tls.VersionTLS13:
		switch t.shakes(ctx, tls.VersionTLS12) {
		case yes:
			s.Detail = "TLS 1.3 and TLS 1.2."
		case no:
			s.Detail = "TLS 1.3 alone."
		default:
			s.Detail = "TLS 1.3. Whether TLS 1.2 is there too could not be tried: the server took no second connection."
		}
		return s, true
	case passed && t.seen.tls == tls.VersionTLS12:
		// TLS 1.3 was offered too, and would have been taken.
		s.Detail = "TLS 1.2 alone. TLS 1.3 is not there yet."
		return s, true
	case tooOld(failure):
		s.State = Warn
		for _, v := range []uint16{tls.VersionTLS11, tls.VersionTLS10} {
			if t.shakes(ctx, v) == yes {
				s.Detail = "The server speaks " + tls.VersionName(v) + " at best. That is too old to be safe, so nothing was said over it."
				s.Advice = "Switch TLS 1.2 or 1.3 on at the mail server, or bring it up to date."
				return s, true
			}
		}
	}
	return s, false
}

// tooOld reports whether a handshake failed in a way that an old server makes
// it fail.
func tooOld(err error) bool {
	var e *smtp.Error
	return errors.As(err, &e) && e.Stage == smtp.StageTLS && e.Kind == smtp.KindTLS && e.Err != nil &&
		(strings.Contains(e.Err.Error(), "protocol version") || strings.Contains(e.Err.Error(), "handshake failure"))
}

// shakes tells whether the server takes a version of TLS, on a connection on
// which nothing else is said. With old versions the certificate is not looked at.
func (t *test) shakes(ctx context.Context, version uint16) answer {
	cfg := t.transport.Config
	if cfg.TLS == nil {
		return unknown
	}
	waits := short(cfg.Timeouts)
	cfg.Auth, cfg.Observe, cfg.Transcript, cfg.Memory, cfg.Timeouts = nil, nil, nil, nil, waits
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.MinVersion, cfg.TLS.MaxVersion = version, version
	met := false
	verify := cfg.TLS.VerifyConnection
	cfg.TLS.VerifyConnection = func(s tls.ConnectionState) error {
		met = true
		if version < tls.VersionTLS12 || verify == nil {
			return errors.New("seen enough")
		}
		return verify(s)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := smtp.Dial(ctx, cfg)
	if err == nil {
		_ = conn.Close()
	}
	switch {
	case met:
		return yes
	case tooOld(err):
		return no
	}
	return unknown
}

// window is how many letters are under way on a connection where the server
// takes them in chunks; see package smtp.
const window = 64

// plenty is the number of letters in a minute above which an estimate says
// nothing any more.
const plenty = 20000

// throughput estimates how many letters leave in a minute, and says what keeps
// it from being more.
func (t *test) throughput() Step {
	s := Step{Key: CheckThroughput, Title: "Letters in a minute", State: OK}
	limits := t.draft.Profile.Limits()
	conns := max(limits.Connections, 1)
	each, why := t.each()
	wire := 60 / each.Seconds() * float64(conns)
	switch {
	case limits.PerMinute > 0 && float64(limits.PerMinute) <= wire:
		s.Detail = fmt.Sprintf("At most %d letters a minute: that is the pace of the settings or of the provider.", limits.PerMinute)
	case wire > plenty:
		s.Detail = "More than " + round(plenty) + " letters a minute."
	default:
		s.Detail = fmt.Sprintf("About %s letters a minute over %d %s: %s.", round(wire), conns, plural(conns, "connection", "connections"), why)
	}
	if limits.PerDay > 0 {
		s.Detail += fmt.Sprintf(" In a day at most %s recipients.", round(float64(limits.PerDay)))
	}
	return s
}

// each estimates how long a letter keeps a connection busy, and says what that
// hangs on.
func (t *test) each() (time.Duration, string) {
	work := max(t.seen.accept-t.seen.round, 200*time.Microsecond)
	trips, why := 4.0, "the server takes one command at a time, and each waits for the way there and back"
	switch {
	case t.graph():
		return max(t.seen.accept, time.Millisecond), "each letter is a request of its own"
	case announces(t.seen.lines, "PIPELINING") && announces(t.seen.lines, "CHUNKING"):
		trips, why = 1.0/window, "many letters are under way at once"
	case announces(t.seen.lines, "PIPELINING"):
		trips, why = 1, "each letter waits once for the way there and back"
	}
	way := time.Duration(trips * float64(t.seen.round))
	if work > way {
		why = "the server itself takes " + short3(work) + " to accept a letter"
	}
	return work + way, why
}

func announces(lines []string, word string) bool {
	for _, l := range lines {
		if f := strings.Fields(l); len(f) > 0 && strings.EqualFold(f[0], word) {
			return true
		}
	}
	return false
}

// round leaves two digits: an estimate is no more exact than that.
func round(n float64) string {
	if n < 1 {
		return "1"
	}
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(n))-1))
	text := strconv.FormatFloat(math.Round(n/unit)*unit, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// short3 is a time as people read it.
func short3(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return "less than 0.1 ms"
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// meanings are the announcements of servers in words.
var meanings = map[string]string{
	"PIPELINING": "several commands are taken in one go", "CHUNKING": "letters are taken in chunks of a known size, several at once",
	"STARTTLS": "turns to TLS when asked", "8BITMIME": "letters may have eight bits", "BINARYMIME": "letters may be binary",
	"SMTPUTF8": "addresses may be in any script", "DSN": "reports when a letter is delayed or cannot be delivered, if asked to",
	"ENHANCEDSTATUSCODES": "says more exactly why it refuses", "REQUIRETLS": "hands letters on encrypted or not at all, if asked to",
	"VRFY": "may be asked whether a mailbox exists", "ETRN": "starts its queue when asked", "HELP": "explains its commands",
	"LIMITS": "says how much it takes at once", "MT-PRIORITY": "takes letters by priority", "DELIVERBY": "takes letters with a time by which to deliver",
	"FUTURERELEASE": "holds letters until a given time", "BURL": "takes content from a mailbox", "NO-SOLICITING": "wants no advertisements",
}

// inWords explains what a server announces.
func inWords(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, l := range first(lines, 40) {
		words := strings.Fields(strings.Replace(l, "AUTH=", "AUTH ", 1))
		if len(words) == 0 {
			continue
		}
		key := strings.ToUpper(words[0])
		switch {
		case key == "AUTH":
			l += ": ways to sign in"
		case key == "SIZE" && len(words) > 1:
			if n, err := strconv.ParseInt(words[1], 10, 64); err == nil && n > 0 {
				l += fmt.Sprintf(": letters of up to %s MB", strconv.FormatFloat(math.Floor(float64(n)/1e5)/10, 'f', -1, 64))
			} else {
				l += ": no limit on the size of letters"
			}
		case key == "SIZE":
			l += ": says how large letters are"
		case meanings[key] != "":
			l += ": " + meanings[key]
		}
		out = append(out, l)
	}
	return out
}

// offersWell sums up what matters for speed and reports.
func offersWell(lines []string) string {
	var has, lacks []string
	for _, c := range []struct{ word, use string }{{"PIPELINING", "several commands at once"}, {"CHUNKING", "letters in chunks"}, {"DSN", "reports of delivery"}} {
		if announces(lines, c.word) {
			has = append(has, c.use)
		} else {
			lacks = append(lacks, c.use)
		}
	}
	switch {
	case len(has) == 0:
		return "Neither " + strings.Join(lacks, " nor ") + "."
	case len(lacks) == 0:
		return "It takes " + list(has) + "."
	}
	return "It takes " + list(has) + "; not " + strings.Join(lacks, " and not ") + "."
}
