package blueprint_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/blueprint"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/smtp"
)

const document = "../../docs/setup-as-code.md"

// examples returns the files in the document.
func examples(t *testing.T) (text string, files []string) {
	t.Helper()
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(b), "```yaml\n") {
		if file, _, ok := strings.Cut(part, "```"); ok && strings.HasPrefix(file, "version: 1") {
			files = append(files, file)
		}
	}
	return string(b), files
}

// TestEveryExampleIsRead: what the document shows is a set-up file, and there
// is one for each provider that the page fills in for.
func TestEveryExampleIsRead(t *testing.T) {
	_, files := examples(t)
	hosts := map[string]*blueprint.Mail{}
	for _, file := range files {
		s, err := blueprint.Parse([]byte(file))
		if err != nil {
			t.Errorf("%v:\n%s", err, file)
			continue
		}
		if s.Mail != nil {
			hosts[s.Mail.Host] = s.Mail
		}
	}
	security := map[smtp.Security]string{smtp.STARTTLS: "tls", smtp.Implicit: "ssl"}
	for _, p := range mail.Presets() {
		if p.Host == "" {
			p.Host = "relay.example.org"
		}
		m := hosts[p.Host]
		switch {
		case m == nil:
			t.Errorf("no example for %s (%s)", p.Name, p.Host)
		case m.Security != security[p.Security] || (m.Authentication != nil) != p.SignIn:
			t.Errorf("the example for %s connects or signs in otherwise than the page fills in: %+v", p.Name, m)
		}
	}
}

// TestEveryKeyIsInTheReference finds each key of the format in the document's
// first example.
func TestEveryKeyIsInTheReference(t *testing.T) {
	text, files := examples(t)
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true // a mail server may have another beside it
		for i := range typ.NumField() {
			f := typ.Field(i)
			key := f.Tag.Get("yaml")
			if key == "" {
				continue
			}
			if !strings.Contains(files[0], key+":") && !strings.Contains(text, "`"+key+"`") {
				t.Errorf("the document does not tell of %q", key)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[blueprint.Spec]())
}

// TestEveryExampleFits compares each example with an installation on which the
// reference was applied.
func TestEveryExampleFits(t *testing.T) {
	_, files := examples(t)
	each(t, func(r *rig) {
		ca := certificate(r.t, "Example CA")
		secretsOf := func(file string) secrets {
			spec, err := blueprint.Parse([]byte(file))
			r.must(err)
			s := secrets{}
			for _, ref := range spec.References() {
				s[ref] = []byte("x-" + string(ref))
				if kind, _ := ref.Split(); kind == "file" {
					s[ref] = ca
				}
			}
			return s
		}
		r.apply(files[0], secretsOf(files[0]))
		r.settled(files[0], secretsOf(files[0]))
		r.apply("version: 1\nresources: [{name: Postmark, owner: grace, accounts: [{name: 00000000-0000-0000-0000-000000000000}]}]", nil)
		for _, file := range files[1:] {
			if p, err := r.plan(file, secretsOf(file)); err != nil || len(p.Steps()) == 0 {
				r.t.Errorf("%v:\n%s", err, file)
			}
		}
	})
}
