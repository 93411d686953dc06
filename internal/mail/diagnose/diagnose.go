package diagnose

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/domain"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/mail/verdict"
	"github.com/sealpost/sealpost/internal/store"
)

// State is how a step stands.
type State string

// The states of a step.
const (
	// Running: the step is under way.
	Running State = "run"
	// OK: it went well.
	OK State = "ok"
	// Warn: it went well, and something should be looked at.
	Warn State = "warn"
	// Bad: it failed, and the test with it.
	Bad State = "bad"
	// Skipped: it was not needed, or not reached.
	Skipped State = "skip"
)

// The keys of the steps.
const (
	// StepAuthority and StepToken come first where the server is signed in to
	// with a token.
	StepAuthority = "authority"
	StepToken     = "token"

	StepResolve  = "resolve"
	StepConnect  = "connect"
	StepGreeting = "greeting"
	StepTLS      = "tls"
	StepHello    = "hello"
	StepSignIn   = "signin"
	StepSender   = "sender"
	StepTo       = "recipient"
	StepMail     = "mail"
)

// Step is one question and its answer.
type Step struct {
	Key, Title string
	State      State
	// Detail says what was found, or what a failure means.
	Detail string
	// Advice is the one most likely thing to do; Command what to type for it
	// elsewhere, Link the provider's page about it. Empty where nothing need be
	// done.
	Advice, Command, Link string
	// Raw is what the server said, in one line without control characters.
	Raw string
	// Lines are further facts, such as what the server offers.
	Lines []string
	Took  time.Duration
	// Chain are the certificates that the server showed, its own first.
	Chain []trust.Card
	// Record is what to enter into the DNS; zero for nothing.
	Record Record
	// Checks are the questions of a group; see [IsGroup].
	Checks []Step
	// CanTrust and CanPin tell that trusting a certificate of the chain, or
	// pinning the key of the first, would settle the failure.
	CanTrust, CanPin bool
}

// Report is the whole test.
type Report struct {
	Passed bool
	// Steps hold each step once, as it ended.
	Steps []Step
	// Checks are the groups of checks, as they ended. They never decide.
	Checks []Step
	// TestToken lets exactly the tested values be saved as tested; empty
	// unless the test passed.
	TestToken string
	// Transcript is the dialogue without credentials, and with addresses masked
	// unless they were asked for.
	Transcript []string
	// Server is "host:port", To where the mail went, TLS the version and cipher,
	// or "".
	Server, To, TLS string
	// At is when the test began.
	At   time.Time
	Took time.Duration
	// Replies is the version of the tables that explained it.
	Replies string
	// Whole tells that addresses are not masked.
	Whole bool
}

const (
	// usualLimit bounds the whole test, patience each of its waits.
	usualLimit = 28 * time.Second
	patience   = 8 * time.Second
	// finalPatience bounds the wait for the answer to the mail.
	finalPatience = 15 * time.Second
	// soon is how long before its end a certificate is warned of.
	soon = 30 * 24 * time.Hour
)

// Config is what a Doctor needs.
type Config struct {
	Mail    *mail.Service
	Letters *letter.Catalogue
	DB      *store.DB
	// Resolve looks a name up; nil means the system's resolver.
	Resolve func(ctx context.Context, host string) ([]string, error)
	// Proxy names the proxy that a host's name is given to, which then looks it
	// up; "" for none, and nil for none ever.
	Proxy func(host string) string
	// Random is the source of Message-IDs; nil means crypto/rand.
	Random io.Reader
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Limit bounds a whole test; 0 means 28 seconds.
	Limit time.Duration
	// DNS is asked about the sender's domain and the server; nil asks nothing.
	DNS *domain.Resolver
	// Envelope returns the envelope sender of letters from a sender; nil means
	// the same.
	Envelope func(ctx context.Context, sender string) string
	// Signing tells with which keys letters from a domain are signed; none where
	// they are not. Sign signs one, just as delivery does. Nil ones sign nothing.
	Signing func(ctx context.Context, by actor.Actor, from string) ([]Signing, error)
	Sign    func(ctx context.Context, from string, message []byte, at time.Time) ([]byte, error)
	// Note writes down what came of a mail that was handed over, for the
	// journal. Nil means that none is kept.
	Note func(ctx context.Context, s Sent) error
}

// Sent is a test mail and what a server said to it.
type Sent struct {
	// To has the name of nobody.
	To        message.Address
	MessageID string
	Subject   string
	Accepted  bool
	// MaybeSent tells that a mail that was not accepted may have arrived.
	MaybeSent bool
	// Stage, Code, Enhanced, Reply and QueueID are what the server said, where;
	// Advice is what it means.
	Stage, Enhanced, Reply, QueueID, Advice string
	Code                                    int
	// Server is "host:port".
	Server string
	Took   time.Duration
}

// Doctor tests mail servers. It is safe for use by several goroutines.
type Doctor struct {
	mail    *mail.Service
	letters *letter.Catalogue
	db      *store.DB
	resolve func(ctx context.Context, host string) ([]string, error)
	proxy   func(host string) string
	random  io.Reader
	now     func() time.Time
	limit   time.Duration
	note    func(ctx context.Context, s Sent) error
	table   *verdict.Table

	dns      *domain.Resolver
	envelope func(ctx context.Context, sender string) string
	signing  func(ctx context.Context, by actor.Actor, from string) ([]Signing, error)
	sign     func(ctx context.Context, from string, message []byte, at time.Time) ([]byte, error)
}

// New returns a Doctor. An error means that the table of replies is broken.
func New(c Config) (*Doctor, error) {
	table, err := verdict.New()
	if err != nil {
		return nil, err
	}
	d := &Doctor{mail: c.Mail, letters: c.Letters, db: c.DB, resolve: c.Resolve, random: c.Random, now: c.Now, limit: c.Limit, note: c.Note, table: table}
	if d.proxy = c.Proxy; d.proxy == nil {
		d.proxy = func(string) string { return "" }
	}
	if d.resolve == nil {
		d.resolve = net.DefaultResolver.LookupHost
	}
	if d.random == nil {
		d.random = rand.Reader
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.limit <= 0 {
		d.limit = usualLimit
	}
	if d.note == nil {
		d.note = func(context.Context, Sent) error { return nil }
	}
	d.dns, d.envelope, d.signing, d.sign = c.DNS, c.Envelope, c.Signing, c.Sign
	if d.envelope == nil {
		d.envelope = func(_ context.Context, sender string) string { return sender }
	}
	if d.signing == nil {
		d.signing = func(context.Context, actor.Actor, string) ([]Signing, error) { return nil, nil }
	}
	return d, nil
}

// Options are what a test is asked for beside.
type Options struct {
	// WholeAddresses keeps the addresses in the transcript as they are.
	WholeAddresses bool
}

// Run tests what c describes with a mail to the given address, and tells say of
// each step when it begins and when it ends, and the same of each group of
// checks; say may be nil and is not called by two goroutines at once. The error
// is about the request: fields that are wrong, a role that may not, too many
// tests. A server that fails the test is no error but a report. When ctx ends, so
// does the test.
func (d *Doctor) Run(ctx context.Context, by actor.Actor, c mail.Change, to string, say func(Step)) (Report, error) {
	return d.RunWith(ctx, by, c, to, Options{}, say)
}

// RunWith is Run with options.
func (d *Doctor) RunWith(ctx context.Context, by actor.Actor, c mail.Change, to string, o Options, say func(Step)) (Report, error) {
	recipient, err := message.ParseAddress(to)
	if err != nil {
		return Report{}, fault.Invalid("test_to", fault.Sentence(err))
	}
	draft, err := d.mail.Draft(ctx, by, c, recipient.Spec())
	if err != nil {
		return Report{}, err
	}
	within, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	run := &test{
		doctor: d, draft: draft, to: recipient, by: by, say: oneAtATime(say), began: time.Now(), aside: newAside(within),
		transcript: &smtp.Transcript{Mask: !o.WholeAddresses},
		report:     Report{Server: draft.Profile.Server(), To: recipient.Spec(), At: d.now(), Replies: verdict.Version(), Whole: o.WholeAddresses},
	}
	run.plan()
	run.beside()
	passed, failure, err := run.all(within)
	if err != nil {
		run.aside.cancel()
	} else {
		run.rest()
		if run.remote() {
			run.group(within, GroupSpeed, run.lookAtSpeed(passed, failure))
		}
	}
	run.gather()
	if err != nil {
		return Report{}, err
	}
	run.report.Passed, run.report.Took = passed, time.Since(run.began)
	run.report.Transcript = run.transcript.Lines()
	if passed {
		run.report.TestToken, err = d.mail.Passed(ctx, draft, run.certEnds)
	}
	return run.report, err
}

// oneAtATime keeps steps and groups from being told at the same time.
func oneAtATime(say func(Step)) func(Step) {
	if say == nil {
		return func(Step) {}
	}
	var mu sync.Mutex
	return func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		say(s)
	}
}

// test is one test on its way.
type test struct {
	doctor     *Doctor
	draft      mail.Draft
	to         message.Address
	by         actor.Actor
	say        func(Step)
	began      time.Time
	transcript *smtp.Transcript
	report     Report
	// order are the keys of the steps as they will come.
	order     []string
	host      string
	transport mail.Transport
	certEnds  time.Time
	seen      measured

	aside *aside
	// localName and dial are what the checks beside need of the transport;
	// guarded by aside.mu.
	localName string
	dial      dialer
}

// beside starts the checks that need not wait for the steps.
func (t *test) beside() {
	if !t.remote() {
		return
	}
	if t.doctor.dns != nil {
		t.start(GroupDNS, t.lookAtDNS)
	}
	if !t.graph() {
		t.start(GroupPorts, t.lookAtPorts)
	}
}

// plan sets the order of the steps by what happens on the wire.
func (t *test) plan() {
	p := t.draft.Profile
	t.host = p.Host
	switch {
	case p.Kind == mail.KindCapture:
		t.order = []string{StepConnect, StepGreeting, StepHello, StepSender, StepTo, StepMail}
	case t.graph():
		t.order = []string{StepAuthority, StepToken, StepConnect, StepTLS, StepMail}
	case p.Security == smtp.Implicit:
		t.order = []string{StepResolve, StepConnect, StepTLS, StepGreeting, StepHello, StepSignIn, StepSender, StepTo, StepMail}
	default:
		t.order = []string{StepResolve, StepConnect, StepGreeting, StepTLS, StepHello, StepSignIn, StepSender, StepTo, StepMail}
	}
	if t.bearer() && !t.graph() {
		t.order = append([]string{StepAuthority, StepToken}, t.order...)
	}
}

func (t *test) bearer() bool { return t.draft.Profile.Auth == mail.AuthOAuth }

func (t *test) graph() bool { return t.bearer() && t.draft.Profile.OAuth.Via == mail.ViaGraph }

func (t *test) title(key string) string {
	switch {
	case key == StepAuthority:
		return "Reach " + authorityName(t.draft.Profile.OAuth.Provider)
	case key == StepConnect && t.graph():
		return "Connect to Microsoft Graph"
	}
	return map[string]string{
		StepToken: "Get a token", StepResolve: "Look the server's name up", StepConnect: "Connect", StepGreeting: "Hear its greeting",
		StepTLS: "Encrypt", StepHello: "Ask what it offers", StepSignIn: "Sign in", StepSender: "Name the sender", StepTo: "Name the recipient",
		StepMail: "Hand the mail over",
	}[key]
}

// begin tells that the next step that has not ended is under way.
func (t *test) begin() {
	if n := len(t.report.Steps); n < len(t.order) {
		t.say(Step{Key: t.order[n], Title: t.title(t.order[n]), State: Running})
	}
}

// end notes a step.
func (t *test) end(s Step) {
	s.Title = t.title(s.Key)
	t.report.Steps = append(t.report.Steps, s)
	t.say(s)
}

// rest marks the steps that were not reached.
func (t *test) rest() {
	for n := len(t.report.Steps); n < len(t.order); n++ {
		t.end(Step{Key: t.order[n], State: Skipped})
	}
}

// all runs the steps and reports whether the last one went well, and if not,
// what failed where that was the server.
func (t *test) all(ctx context.Context) (passed bool, failure, err error) {
	t.begin()
	if t.bearer() {
		if !t.authority(ctx) {
			return false, nil, nil
		}
		began := time.Now()
		if ok, err := t.open(ctx); err != nil || !ok {
			return false, nil, err
		}
		t.token(time.Since(began))
	}
	if t.next() == StepResolve && !t.lookUp(ctx) {
		return false, nil, nil
	}
	if !t.bearer() {
		if ok, err := t.open(ctx); err != nil || !ok {
			return false, nil, err
		}
	}
	t.ready()
	t.begin()
	waits := short(t.transport.Config.Timeouts)
	link, err := t.transport.Dial(ctx, mail.DialHook{Observe: t.observe, Transcript: t.transcript, Timeouts: &waits})
	if err != nil {
		t.fail(err)
		return false, err, t.refused(ctx, err)
	}
	defer func() { _ = link.Close() }()
	if t.next() == StepSignIn {
		t.end(Step{Key: StepSignIn, State: Skipped, Detail: "No sign-in is asked for."})
	}
	t.begin()
	passed, err = t.mail(ctx, link)
	if passed && !t.graph() && t.remote() {
		t.measure(ctx, link)
	}
	return passed, nil, err
}

// open gets what the draft connects and signs in with. Where that cannot be
// had, the step under way fails.
func (t *test) open(ctx context.Context) (bool, error) {
	var err error
	t.transport, err = t.doctor.mail.OpenDraft(ctx, t.draft)
	if problem := (*mail.Problem)(nil); errors.As(err, &problem) {
		t.end(Step{
			Key: t.next(), State: Bad, Detail: problem.Reason, Advice: problem.Advice, Command: problem.Command, Raw: problem.Reply, Link: problem.Link,
		})
		return false, nil
	}
	if err == nil {
		t.aside.mu.Lock()
		t.localName, t.dial = t.transport.Config.LocalName, t.transport.Config.Dial
		t.aside.mu.Unlock()
	}
	return err == nil, err
}

func (t *test) next() string { return t.order[min(len(t.report.Steps), len(t.order)-1)] }

// short bounds the waits of a test.
func short(c smtp.Timeouts) smtp.Timeouts {
	cut := func(d, most time.Duration) time.Duration {
		if d <= 0 || d > most {
			return most
		}
		return d
	}
	return smtp.Timeouts{
		Connect: cut(c.Connect, patience), Greeting: cut(c.Greeting, patience),
		Command: cut(c.Command, patience), Final: cut(c.Final, finalPatience),
	}
}

// lookUp resolves the name. The client does so again by itself; this one is to
// tell a wrong name from a server that does not answer.
func (t *test) lookUp(ctx context.Context) bool {
	began := time.Now()
	if _, err := netip.ParseAddr(t.host); err == nil {
		t.end(Step{Key: StepResolve, State: Skipped, Detail: "The server is given by its address."})
		return true
	}
	if proxy := t.doctor.proxy(t.host); proxy != "" {
		t.end(Step{Key: StepResolve, State: Skipped, Detail: "The proxy " + proxy + " looks the server's name up."})
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	addrs, err := t.doctor.resolve(ctx, t.host)
	if err != nil {
		t.fail(&smtp.Error{Stage: smtp.StageResolve, Kind: smtp.KindNetwork, Err: err})
		return false
	}
	t.end(Step{Key: StepResolve, State: OK, Detail: strings.Join(first(addrs, 6), ", "), Took: time.Since(began)})
	return true
}

func first(all []string, n int) []string {
	if len(all) > n {
		return append(all[:n:n], "…")
	}
	return all
}

// observe turns what the client met into steps.
func (t *test) observe(e smtp.Event) {
	s := Step{State: OK, Took: e.Took}
	switch e.Stage {
	case smtp.StageConnect:
		s.Key, s.Detail = StepConnect, strings.Join(e.Detail, ", ")
	case smtp.StageGreeting:
		s.Key, s.Raw = StepGreeting, strings.Join(e.Detail, " ")
		t.end(s)
		if t.next() != StepTLS || t.draft.Profile.Security != smtp.None {
			t.begin()
			return
		}
		s = Step{
			Key: StepTLS, State: Warn, Detail: "Nothing is encrypted: what is said can be read on the way.",
			Advice: "Choose TLS or SSL if the server offers it.",
		}
	case smtp.StageTLS:
		s = t.encrypted(e)
	case smtp.StageEHLO:
		if t.next() != StepHello {
			return // what a server says before TLS is not worth telling
		}
		s.Key, s.Lines, s.Detail = StepHello, e.Detail, offers(e.Detail)
		if t.draft.Profile.RequireTLS && !slices.ContainsFunc(e.Detail, func(l string) bool { return strings.EqualFold(strings.TrimSpace(l), "REQUIRETLS") }) {
			s.State, s.Advice = Warn, "The server does not offer REQUIRETLS, so letters with one-time links leave without it. Ask who runs the server for it, or take the tick away under Advanced."
		}
		t.seen.lines = e.Detail
	case smtp.StageAuth:
		s.Key, s.Detail = StepSignIn, "Signed in with "+strings.Join(e.Detail, " ")+"."
		if t.bearer() {
			s.Detail = "Signed in with " + strings.Join(e.Detail, " ") + " as " + t.transport.SignedIn.Who + "."
		}
		if t.draft.Profile.InClear() {
			s.State, s.Advice = Warn, "The password travelled in clear. Choose TLS or SSL if the server offers it."
		}
	default:
		return
	}
	t.end(s)
	t.begin()
}

func offers(lines []string) string {
	if len(lines) == 0 {
		return "The server announces nothing."
	}
	for _, l := range lines {
		if words := strings.Fields(strings.ToUpper(strings.Replace(l, "=", " ", 1))); len(words) > 1 && words[0] == "AUTH" {
			return "Sign-in: " + strings.Join(words[1:], ", ")
		}
	}
	return "No sign-in is offered."
}

func (t *test) encrypted(e smtp.Event) Step {
	s := Step{Key: StepTLS, State: OK, Took: e.Took}
	s.Detail = tls.VersionName(e.TLS.Version) + ", " + tls.CipherSuiteName(e.TLS.CipherSuite)
	t.seen.tls, t.report.TLS = e.TLS.Version, s.Detail
	for _, c := range e.TLS.PeerCertificates {
		s.Chain = append(s.Chain, trust.Describe(c))
	}
	if len(s.Chain) == 0 {
		return s
	}
	t.certEnds = t.transport.CertificateEnds(e.TLS.PeerCertificates[0])
	if left := t.certEnds.Sub(t.doctor.now()); left > 0 && left < soon {
		s.State = Warn
		s.Advice = fmt.Sprintf("The server's certificate ends on %s. Renew it there before.", t.certEnds.Format("2 January 2006"))
	}
	return s
}

// mail sends the test letter and tells the last steps.
func (t *test) mail(ctx context.Context, link mail.Link) (bool, error) {
	transport := t.transport
	body, sent, err := t.letter(ctx, transport)
	if err != nil {
		return false, err
	}
	envelope := t.doctor.envelope(ctx, transport.From.Spec())
	sub := smtp.Submission{From: envelope, To: []string{t.to.Spec()}, Body: body}
	var result smtp.Result
	began := time.Now()
	err = link.Send(ctx, smtp.Each(sub), func(_ int, r smtp.Result) { result = r })
	if result.Err != nil {
		err = result.Err
	}
	sent.Took = time.Since(began)
	if err := t.noteSent(ctx, sent, result, err); err != nil {
		return false, err
	}
	if err != nil {
		t.fail(err)
		return false, t.refused(ctx, err)
	}
	if t.next() == StepSender {
		t.end(Step{Key: StepSender, State: OK, Detail: envelope})
		t.end(Step{Key: StepTo, State: OK, Detail: t.to.Spec()})
	}
	t.seen.accept = result.Took
	s := Step{Key: StepMail, State: OK, Detail: "The server accepted the mail.", Raw: result.Reply.String(), Took: result.Took}
	if result.QueueID != "" {
		s.Detail = "The server accepted the mail as " + result.QueueID + "."
	}
	t.end(s)
	return true, nil
}

// noteSent has the mail written down, also where the person who wanted it is
// gone: it was sent all the same, unless they cancelled it before.
func (t *test) noteSent(ctx context.Context, s Sent, result smtp.Result, failure error) error {
	s.To, s.Server = t.to, t.report.Server
	if failure == nil {
		s.Accepted, s.Advice = true, "The mail server accepted it."
		s.Stage, s.Code, s.Enhanced = string(smtp.StageContent), result.Reply.Code, result.Reply.Enhanced
		s.Reply, s.QueueID = result.Reply.String(), result.QueueID
		return t.doctor.note(context.WithoutCancel(ctx), s)
	}
	var e *smtp.Error
	if errors.As(failure, &e) && e.Kind == smtp.KindCancelled && !e.Uncertain {
		return nil
	}
	v := t.decide(failure)
	s.Advice = strings.TrimSpace(v.Meaning + " " + v.Mend)
	if e != nil {
		s.MaybeSent, s.Stage, s.Code, s.Enhanced, s.Reply = e.Uncertain, string(e.Stage), e.Code, e.Enhanced, e.Reply()
	}
	return t.doctor.note(context.WithoutCancel(ctx), s)
}

// letter builds the mail. What it returns with it is not sent yet.
func (t *test) letter(ctx context.Context, transport mail.Transport) ([]byte, Sent, error) {
	var content letter.Content
	var domain string
	var when time.Time
	name := t.by.Name
	if name == "" {
		name = t.by.Login
	}
	err := t.doctor.db.View(ctx, func(tx *store.Tx) error {
		site, err := t.doctor.letters.Site(tx)
		if err != nil {
			return err
		}
		domain, when = site.MessageDomain(), tx.Now()
		content, err = t.doctor.letters.Render(tx, letter.Test{RequestedBy: name, When: when, Server: transport.Server()})
		return err
	})
	if err != nil {
		return nil, Sent{}, err
	}
	id, err := message.NewMessageID(domain, t.doctor.random)
	if err != nil {
		return nil, Sent{}, fault.Internal(err)
	}
	parts := message.Parts{
		From: transport.From, To: t.to, ReplyTo: transport.ReplyTo, Subject: content.Subject, Text: content.Text.Reveal(),
		HTML: content.HTML.Reveal(), MessageID: id, Date: when,
	}
	if len(content.Logo) > 0 {
		parts.Inline = []message.Image{{ID: letter.LogoID, Type: content.LogoType, Data: content.Logo}}
	}
	body, err := message.Build(parts)
	if err == nil && t.doctor.sign != nil {
		body, err = t.doctor.sign(ctx, transport.From.Domain, body, when)
	}
	return body, Sent{MessageID: id, Subject: content.Subject}, err
}

// fail ends the step at which err stands, and those before it that went well
// without being told.
func (t *test) fail(err error) {
	v := t.decide(err)
	s := Step{State: Bad, Detail: v.Meaning, Advice: v.Mend, Command: v.Command, Link: v.Link}
	var e *smtp.Error
	if errors.As(err, &e) {
		s.Key, s.Raw = keyOf(e.Stage), e.Reply()
	}
	var refused *trust.Verdict
	if errors.As(err, &refused) {
		s.Chain, s.CanTrust, s.CanPin = refused.Chain, refused.CanTrust, refused.CanPin
	}
	for t.next() != s.Key && len(t.report.Steps) < len(t.order) && t.reached(s.Key) {
		t.end(Step{Key: t.next(), State: t.silent()})
	}
	s.Key = t.next()
	t.end(s)
}

// silent is the state of a step that was passed without word: the sign-in is
// not needed, the others went well.
func (t *test) silent() State {
	if t.next() == StepSignIn {
		return Skipped
	}
	return OK
}

// reached reports whether key is among the steps still to come.
func (t *test) reached(key string) bool {
	for _, k := range t.order[len(t.report.Steps):] {
		if k == key {
			return true
		}
	}
	return false
}

func keyOf(s smtp.Stage) string {
	switch s {
	case smtp.StageResolve:
		return StepResolve
	case smtp.StageConnect:
		return StepConnect
	case smtp.StageGreeting:
		return StepGreeting
	case smtp.StageTLS:
		return StepTLS
	case smtp.StageEHLO:
		return StepHello
	case smtp.StageAuth:
		return StepSignIn
	case smtp.StageMail:
		return StepSender
	case smtp.StageRcpt:
		return StepTo
	}
	return StepMail
}
