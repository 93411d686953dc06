package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/operator"
)

type trustCmd struct {
	Import trustImportCmd `cmd:"" help:"Trust certificates from PEM or DER files for the mail server."`
	List   trustListCmd   `cmd:"" help:"List the certificates trusted for the mail server."`
	Remove trustRemoveCmd `cmd:"" help:"Stop trusting a certificate."`
}

type trustImportCmd struct {
	Files        []string `arg:"" name:"file" help:"PEM (one or more certificates) or DER file."`
	Pin          bool     `help:"Trust the server's certificate by its key alone, for one without a usable name."`
	PasswordFrom string   `help:"File with the mail server's password, or with the client secret or key of OAuth 2.0, or - for standard input: it is bound to the trusted certificates and is needed again when it was typed in." placeholder:"FILE"`
	Server       string   `enum:"main,second" default:"main" help:"For which mail server: main or second."`
	JSON         bool     `help:"Print JSON."`
}

// maxCertificateFile bounds what is read of one file, in bytes.
const maxCertificateFile = 1 << 20

// Run imports the files.
func (c *trustImportCmd) Run(s *session) error {
	args := operator.TrustImport{Pin: c.Pin, Server: c.Server}
	for _, name := range c.Files {
		info, err := os.Stat(name)
		if err != nil {
			return fault.Invalid("", fmt.Sprintf("The file %s cannot be read.", name)).Because(err)
		}
		if info.Size() > maxCertificateFile {
			return fault.Invalid("", fmt.Sprintf("The file %s is larger than 1 MiB. Is it a certificate?", name))
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return fault.Invalid("", fmt.Sprintf("The file %s cannot be read.", name)).Because(err)
		}
		args.Files = append(args.Files, b)
	}
	var err error
	if args.Password, err = s.optionalSecret(c.PasswordFrom); err != nil {
		return err
	}
	var done operator.TrustChanged
	if err := s.operate(operator.CmdTrustImport, args, &done); err != nil {
		return err
	}
	return s.sayTrust(c.JSON, "Trusted now", done)
}

type trustListCmd struct {
	Server string `enum:"main,second" default:"main" help:"Of which mail server: main or second."`
	JSON   bool   `help:"Print JSON."`
}

// Run lists the trusted certificates.
func (c *trustListCmd) Run(s *session) error {
	var all operator.TrustChanged
	if err := s.operate(operator.CmdTrustList, operator.TrustList{Server: c.Server}, &all); err != nil {
		return err
	}
	if c.JSON {
		return s.printJSON(all)
	}
	if len(all.Trusted) == 0 {
		s.say("No certificate is trusted beyond those of the system.")
		return nil
	}
	rows := make([][]string, len(all.Trusted))
	for i, t := range all.Trusted {
		rows[i] = []string{t.Fingerprint[:16], t.Mode, t.Subject, strings.Join(t.Names, " "), localTime(t.NotAfter)}
	}
	s.table([]string{"SHA-256", "TRUSTED AS", "SUBJECT", "NAMES", "ENDS"}, rows)
	return nil
}

type trustRemoveCmd struct {
	Fingerprint  string `arg:"" help:"SHA-256 fingerprint, or its first 8 or more digits."`
	PasswordFrom string `help:"File with the mail server's password, or with the client secret or key of OAuth 2.0, or - for standard input." placeholder:"FILE"`
	Server       string `enum:"main,second" default:"main" help:"Of which mail server: main or second."`
	JSON         bool   `help:"Print JSON."`
}

// Run removes the certificate.
func (c *trustRemoveCmd) Run(s *session) error {
	password, err := s.optionalSecret(c.PasswordFrom)
	if err != nil {
		return err
	}
	var done operator.TrustChanged
	err = s.operate(operator.CmdTrustRemove, operator.TrustRemove{Fingerprint: c.Fingerprint, Password: password, Server: c.Server}, &done)
	if err != nil {
		return err
	}
	return s.sayTrust(c.JSON, "No longer trusted", done)
}

func (s *session) sayTrust(asJSON bool, verb string, done operator.TrustChanged) error {
	if asJSON {
		return s.printJSON(done)
	}
	for _, t := range done.Changed {
		s.say("%s: %s", verb, printable(t.Subject))
		s.say("  SHA-256 %s, ends %s", t.Fingerprint, localTime(t.NotAfter))
	}
	if done.Paused != "" {
		s.say("Mail is paused: %s", done.Paused)
	}
	return nil
}
