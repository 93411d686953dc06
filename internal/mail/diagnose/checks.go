package diagnose

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/sealpost/sealpost/internal/mail"
)

// The keys of the groups of checks. They are asked beside the steps, and a test
// never fails because of them.
const (
	GroupDNS   = "dns"
	GroupPorts = "ports"
	GroupSpeed = "speed"
)

// groupOrder is how groups are shown.
var groupOrder = []string{GroupDNS, GroupPorts, GroupSpeed}

// IsGroup tells the key of a group of checks from that of a step.
func IsGroup(key string) bool { return key == GroupDNS || key == GroupPorts || key == GroupSpeed }

func groupTitle(key string) string {
	switch key {
	case GroupDNS:
		return "What the DNS says"
	case GroupPorts:
		return "Ports of the server"
	}
	return "Encryption and speed"
}

// Record is an entry for the DNS, to be copied.
type Record struct{ Name, Type, Value string }

// Signing is how letters from a domain are signed here (RFC 6376).
type Signing struct {
	Domain, Selector string
	// Value is what the TXT record at the selector must say.
	Value string
}

const (
	// asideLimit bounds the checks beside the steps, asideGrace how long they may
	// go on once the steps have ended: a healthy server is tested within ten
	// seconds.
	asideLimit = 9 * time.Second
	asideGrace = 5 * time.Second
)

// aside are the checks that run beside the steps.
type aside struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	groups  map[string]Step
	// opened is closed once it is known what the test connects with, or that it
	// never will be.
	opened chan struct{}
	open   sync.Once
}

func newAside(ctx context.Context) *aside {
	a := &aside{groups: map[string]Step{}, opened: make(chan struct{})}
	a.ctx, a.cancel = context.WithTimeout(ctx, asideLimit)
	return a
}

// start runs a group of checks beside the steps and tells of it. What checks
// returns first is the group in one sentence.
func (t *test) start(key string, checks func(context.Context) (string, []Step)) {
	t.say(Step{Key: key, Title: groupTitle(key), State: Running})
	t.aside.running.Go(func() { t.group(t.aside.ctx, key, checks) })
}

// group runs a group of checks and tells of it.
func (t *test) group(ctx context.Context, key string, checks func(context.Context) (string, []Step)) {
	began := time.Now()
	summary, all := checks(ctx)
	g := Step{Key: key, Title: groupTitle(key), State: worst(all), Detail: summary, Checks: all, Took: time.Since(began)}
	t.aside.mu.Lock()
	t.aside.groups[key] = g
	t.aside.mu.Unlock()
	t.say(g)
}

// ready tells the checks what the test connects with.
func (t *test) ready() { t.aside.open.Do(func() { close(t.aside.opened) }) }

// gather waits for the checks and takes them into the report.
func (t *test) gather() {
	t.ready()
	late := time.AfterFunc(asideGrace, t.aside.cancel)
	defer late.Stop()
	t.aside.running.Wait()
	t.aside.cancel()
	for _, key := range groupOrder {
		if g, ok := t.aside.groups[key]; ok {
			t.report.Checks = append(t.report.Checks, g)
		}
	}
}

// worst is the state of a group: what should be looked at, before what is well,
// before what was left out.
func worst(all []Step) State {
	state := Skipped
	for _, s := range all {
		if s.State == Warn {
			return Warn
		}
		if s.State == OK {
			state = OK
		}
	}
	return state
}

// remote tells that letters leave this machine.
func (t *test) remote() bool { return t.draft.Profile.Kind != mail.KindCapture }

// list joins words with commas and an "and".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
