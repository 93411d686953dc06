package house_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sealpost/sealpost"

// room is one row of the table: the folder, its floor, and what it may import
// of this module. "ground" stands for secret, fault and actor; "below" for
// everything on lower floors.
type room struct {
	floor  int
	may    string
	reason string
}

// table is who may import whom. A package that is not in it is refused: a new
// room is entered here first, with its floor.
var table = map[string]room{
	"internal/secret":    {1, "", "a value that cannot be printed depends on nothing that could print it"},
	"internal/fault":     {1, "", "every room speaks of failures, so this one knows none of them"},
	"internal/actor":     {1, "", "who acts is known before anything else"},
	"internal/failpoint": {1, "", "it must be droppable into any room"},
	"internal/worker":    {1, "", "loops know nothing of what they run"},
	"internal/config":    {1, "internal/secret internal/fault", "the operator's words are read before any room exists"},

	"internal/identity/guess": {1, "", "how soon a password is guessed is reckoning alone"},

	"internal/mail/message": {1, "internal/fault", "bytes from parts; no store, no keys"},
	"internal/mail/dsn":     {1, "", "what a bounce says is a matter of bytes"},

	"internal/store":      {2, "internal/fault internal/secret", "engines know no domain"},
	"internal/server":     {2, "ground", "the listener knows no domain"},
	"internal/mail/sasl":  {2, "internal/secret", "mechanisms turn a credential into words, nothing else"},
	"internal/mail/trust": {2, "internal/fault", "a verdict about a certificate needs no store"},
	"internal/mail/oauth": {2, "internal/secret internal/fault", "the conversation with an authority keeps nothing"},

	"internal/mail/wire":   {2, "internal/secret internal/fault", "how a connection comes about says nothing of what is said on it"},
	"internal/mail/domain": {2, "internal/fault", "what the DNS says needs no store"},

	"internal/keyring":   {3, "internal/store internal/failpoint ground", "sealing needs keys and the table they are in"},
	"internal/mail/smtp": {3, "internal/mail/sasl internal/secret internal/fault internal/failpoint", "the client knows the wire only"},

	"internal/mail/imap": {3, "internal/mail/sasl internal/secret", "reading a mailbox knows no letters"},

	"internal/mail/pace": {3, "internal/store ground", "how fast mail leaves is a matter of rows and a clock"},

	"internal/mail/verdict": {4, "internal/mail/smtp internal/mail/sasl internal/mail/trust internal/mail/oauth", "one table says what a failure means"},
	"internal/mail/graph":   {4, "internal/mail/smtp internal/secret internal/fault", "another wire for the same letters"},
	"internal/mail/token":   {4, "internal/mail/oauth internal/store internal/keyring internal/failpoint ground", "tokens are kept for whoever names their place"},
	"internal/mail/profile": {4, "internal/mail/oauth internal/mail/wire internal/mail/pace internal/mail/smtp internal/mail/sasl internal/mail/trust internal/mail/message internal/mail/verdict internal/keyring internal/audit ground", "what a profile is needs no database"},
	"internal/mail/consent": {4, "internal/mail/profile internal/mail/oauth internal/store internal/keyring ground", "who is on the way back is remembered; what comes of it is decided above"},
	"internal/mail/record":  {4, "internal/mail/profile internal/mail/smtp internal/mail/trust internal/store internal/fault", "rows of mail servers; what they mean is decided above"},
	"internal/audit":        {4, "internal/store internal/keyring ground", "whoever writes may be audited, so audit knows nobody"},
	"internal/mail/letter":  {4, "internal/store internal/mail/message ground", "a letter is rendered from what its cause gives it"},

	"internal/mail/dkim": {5, "internal/mail/domain internal/store internal/keyring internal/audit ground", "a signature needs a key and bytes, not who sends them"},

	"internal/mail/outbox": {5, "internal/store internal/keyring internal/audit internal/mail/letter internal/mail/message internal/failpoint ground", "the outbox keeps letters and does not send them"},
	"internal/mail":        {5, "internal/mail/profile internal/mail/record internal/mail/consent internal/mail/smtp internal/mail/sasl internal/mail/trust internal/mail/oauth internal/mail/token internal/mail/graph internal/mail/pace internal/mail/wire internal/mail/message internal/mail/verdict internal/mail/letter internal/store internal/keyring internal/audit ground", "mail knows neither users nor vault"},

	"internal/mail/delivery": {6, "internal/mail internal/mail/outbox internal/mail/letter internal/mail/message internal/mail/verdict internal/mail/smtp internal/mail/pace internal/mail/dkim internal/worker internal/audit internal/store internal/failpoint ground", "only delivery writes down what became of a letter"},
	"internal/mail/diagnose": {6, "internal/mail internal/mail/letter internal/mail/message internal/mail/smtp internal/mail/trust internal/mail/oauth internal/mail/verdict internal/mail/domain internal/mail/dkim internal/mail/wire internal/audit internal/store ground", "the test asks the same client that delivers"},
	"internal/mail/bounce":   {6, "internal/mail internal/mail/dsn internal/mail/imap internal/mail/letter internal/mail/outbox internal/mail/message internal/mail/trust internal/mail/sasl internal/mail/smtp internal/mail/profile internal/mail/wire internal/worker internal/store internal/keyring internal/audit ground", "a bounce is about a letter that left"},
	"internal/mail/servers":  {6, "internal/mail internal/mail/outbox internal/mail/message internal/audit internal/store ground", "which of two servers a letter leaves through is a matter of both and of the outbox"},
	"internal/mail/capture":  {6, "internal/store internal/worker internal/keyring internal/audit ground", "the capture mailbox is a mail server like another"},
	"internal/identity":      {6, "internal/identity/guess internal/store internal/keyring internal/audit internal/mail/outbox internal/mail/letter internal/mail/message internal/failpoint ground", "users cause letters; they do not send them"},

	"internal/vault": {7, "internal/identity internal/store internal/keyring internal/audit internal/mail/outbox internal/mail/letter internal/failpoint ground", "the vault's rules in one place"},

	"internal/notify": {8, "internal/audit internal/identity internal/mail/outbox internal/mail/letter internal/store internal/worker ground", "it follows the audit log; what is not audited cannot be notified"},

	"internal/blueprint": {8, "below", "set-up as code calls the same operations as the pages"},

	"internal/web":         {9, "below", "handlers parse, call one operation, render"},
	"internal/web/journal": {9, "below", "what the outbox tells, as pages show it"},
	"internal/web/checkup": {9, "below", "what a test of a mail server found, as pages show it"},
	"internal/web/live":    {3, "internal/fault", "telling many pages of one answer needs to know none of them"},
	"internal/web/static":  {9, "internal/fault", "files that browsers fetch"},
	"internal/web/page":    {9, "below", "what a page shows"},
	"internal/operator":    {9, "below", "the command line's door calls the same operations as the pages"},

	"internal/app": {10, "below", "the only composition root"},
	"internal/cli": {11, "internal/app internal/config internal/operator internal/blueprint ground", "one file for each command"},
	"cmd/sealpost": {12, "internal/cli", "twenty lines"},
}

// sameFloor are imports inside one floor that are one room in two folders.
var sameFloor = map[string]string{
	"internal/web":         "internal/web/page internal/web/static internal/web/journal internal/web/checkup",
	"internal/web/journal": "internal/web/page",
	"internal/web/checkup": "internal/web/page",
	"internal/blueprint":   "",
}

// rig are packages that exist for tests; no product code imports them.
func rig(path string) bool {
	return strings.HasPrefix(path, "test/") || strings.HasPrefix(path, "bench") ||
		strings.Contains(path, "storetest") || strings.Contains(path, "smtptest") || strings.Contains(path, "oauthtest") || strings.Contains(path, "domaintest")
}

type pkg struct {
	ImportPath   string
	Name         string
	Doc          string
	Dir          string
	Imports      []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Dir,Imports,GoFiles,TestGoFiles,XTestGoFiles", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		all = append(all, p)
	}
}

// refusal returns why from may not import to, or "".
func refusal(from, to string) string {
	if rig(to) {
		return "it exists for tests"
	}
	r, ok := table[from]
	if !ok {
		return from + " is not in the table of rooms"
	}
	target, ok := table[to]
	if !ok {
		if slices.Contains(strings.Fields(sameFloor[from]), to) {
			return ""
		}
		return to + " is not in the table of rooms"
	}
	if slices.Contains(strings.Fields(sameFloor[from]), to) {
		return ""
	}
	if target.floor > r.floor {
		return "imports run down: " + r.reason
	}
	ground := []string{"internal/secret", "internal/fault", "internal/actor"}
	for _, m := range strings.Fields(r.may) {
		switch {
		case m == to, m == "ground" && slices.Contains(ground, to), m == "below" && target.floor < r.floor:
			return ""
		}
	}
	return r.reason
}

func TestImportsRunDown(t *testing.T) {
	for _, p := range packages(t) {
		if rig(p.ImportPath) {
			continue
		}
		if _, ok := table[p.ImportPath]; !ok {
			t.Errorf("%s is not in the table of rooms: enter it with its floor", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			if why := refusal(p.ImportPath, to); why != "" {
				t.Errorf("%s may not import %s: %s", p.ImportPath, to, why)
			}
		}
	}
}

// The table must refuse what it exists to refuse.
func TestTheTableRefuses(t *testing.T) {
	for _, tt := range []struct{ from, to string }{
		{"internal/store", "internal/vault"},
		{"internal/mail", "internal/vault"},
		{"internal/mail", "internal/identity"},
		{"internal/secret", "internal/fault"},
		{"internal/vault", "internal/mail"},
		{"internal/web", "internal/store/storetest"},
		{"internal/vault", "internal/mail/smtptest"},
		{"internal/newroom", "internal/fault"},
	} {
		if refusal(tt.from, tt.to) == "" {
			t.Errorf("%s may import %s, and should not", tt.from, tt.to)
		}
	}
}

// forbidden are imports of others that only some rooms may use.
var forbidden = []struct{ path, where, reason string }{
	{"net/smtp", "", "our own client speaks SMTP"},
	{"os/exec", "", "the server starts no other program"},
	{"github.com/lib/pq", "", "pgx is the driver"},
	{"math/rand", "", "chance comes from crypto/rand"},
	{"unsafe", "", "nothing here needs it"},
	{"log", "", "log/slog is the log"},
	{"database/sql", "internal/store", "SQL goes through store"},
	{"modernc.org/sqlite", "internal/store", "SQL goes through store"},
	{"net/http/pprof", "", "it registers itself on the default mux"},
}

func TestForbiddenImports(t *testing.T) {
	for _, p := range packages(t) {
		if rig(p.ImportPath) {
			continue
		}
		for _, f := range forbidden {
			if slices.Contains(p.Imports, f.path) && !slices.Contains(strings.Fields(f.where), p.ImportPath) {
				t.Errorf("%s imports %s: %s", p.ImportPath, f.path, f.reason)
			}
		}
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no doc comment", p.ImportPath)
		}
		switch base := filepath.Base(p.ImportPath); base {
		case "util", "utils", "common", "helper", "helpers", "misc", "shared", "model", "models", "types":
			t.Errorf("%s: the name says nothing", p.ImportPath)
		}
	}
}
