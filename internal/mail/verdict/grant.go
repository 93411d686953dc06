package verdict

import (
	"crypto/x509"
	_ "embed" // for the table
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/sealpost/sealpost/internal/mail/oauth"
)

//go:embed grants.tsv
var grants string

// NoRefreshToken is the code of an [oauth.Error] for an authority that gave a
// token and none to renew it. No authority says that by itself.
const NoRefreshToken = "no_refresh_token"

// grant is a line of grants.tsv.
type grant struct {
	id, provider string
	// numbers are Microsoft's; a row has some, or code, the OAuth error or
	// Microsoft's word below it. Text is part of the description.
	numbers    []int
	code, text string
	advice
}

func readGrant(f []string) (grant, error) {
	g := grant{id: f[0], provider: f[1], code: f[3], text: f[4]}
	if f[2] != "" {
		for _, s := range strings.Split(f[2], ",") {
			n, err := strconv.Atoi(s)
			if err != nil {
				return g, err
			}
			g.numbers = append(g.numbers, n)
		}
	}
	if (len(g.numbers) == 0) == (g.code == "") {
		return g, errors.New("want numbers or an error")
	}
	var err error
	g.advice, err = readAdvice(f[5], f[6], f[7], f[8:])
	if err == nil && g.act == Fail {
		err = errors.New("no letter is to blame for a token")
	}
	return g, err
}

// DecideGrant says what e, the failure to get a token from an authority of
// provider p, means.
//
// What is done follows from the OAuth error, the HTTP status and the stage. A
// row of the table gives the words. It may also turn a pause into a retry,
// where a vendor says more precisely that a failure goes by, and never the
// reverse: vendors change their numbers and descriptions.
func (t *Table) DecideGrant(e *oauth.Error, p oauth.Provider) Verdict {
	v := grantClass(e)
	g, n := t.grant(e, p)
	if g != nil {
		act := v.Act
		v = g.verdict(g.id)
		if act == Retry {
			v.Act = Retry
		}
	}
	if v.Act == Retry {
		v.Remedy = RemedyNone
	}
	if p == oauth.Microsoft && n != 0 {
		v.Link = "https://login.microsoftonline.com/error?code=" + strconv.Itoa(n)
	}
	v.After = wait(v.After, e.RetryAfter)
	v.Server = true
	return v
}

// grant returns the row that says most about e, or nil, and the number to look
// up at the vendor, or 0. The first number that has a row counts.
func (t *Table) grant(e *oauth.Error, p oauth.Provider) (*grant, int) {
	for _, n := range e.Numbers {
		for i := range t.grants {
			if g := &t.grants[i]; g.provider == string(p) && slices.Contains(g.numbers, n) {
				return g, n
			}
		}
	}
	number := 0
	if len(e.Numbers) > 0 {
		number = e.Numbers[0]
	}
	var best *grant
	for i := range t.grants {
		if g := &t.grants[i]; g.fits(e, p) && (best == nil || g.weight(e) > best.weight(e)) {
			best = g
		}
	}
	return best, number
}

// fits reports whether a row without numbers is about e.
func (g grant) fits(e *oauth.Error, p oauth.Provider) bool {
	return g.code != "" && (g.code == e.Code || g.code == e.Suberror) && (g.provider == "*" || g.provider == string(p)) &&
		strings.Contains(strings.ToLower(e.Text), g.text)
}

// weight tells how much a row says about e. Microsoft's further word is more
// precise than the error.
func (g grant) weight(e *oauth.Error) int {
	w := 0
	if g.code == e.Suberror {
		w += 4
	}
	if g.provider != "*" {
		w += 2
	}
	if g.text != "" {
		w++
	}
	return w
}

// grantClass decides by the error of RFC 6749, the status and the stage alone.
func grantClass(e *oauth.Error) Verdict {
	switch e.Stage {
	case oauth.StageSettings:
		return Verdict{Act: Pause, Remedy: RemedySettings, Meaning: "The settings cannot be used: " + strings.TrimRight(e.Text, ".") + ".", Mend: "Correct the mail server settings.", Row: "grant-settings"}
	case oauth.StageReach:
		return reachClass(e)
	}
	if passing(e.Status) {
		return Verdict{Act: Retry, Meaning: "The authority cannot give a token at the moment.", Mend: "Nothing: it is tried again.", Row: "class-grant-passing"}
	}
	switch e.Code {
	case "temporarily_unavailable", "server_error", "slow_down", "rate_limit_exceeded", "internal_failure":
		return Verdict{Act: Retry, Meaning: "The authority cannot give a token at the moment.", Mend: "Nothing: it is tried again.", Row: "class-grant-passing"}
	case "invalid_grant", "interaction_required", "login_required", "consent_required", "account_selection_required", "access_denied", NoRefreshToken:
		return Verdict{Act: Pause, Remedy: RemedySignIn, Meaning: "The authority wants somebody to sign in again.", Mend: "Sign in again.", Row: "class-grant-sign-in"}
	case "":
		return wordlessClass(e)
	}
	return Verdict{Act: Pause, Remedy: RemedySettings, Meaning: "The authority gives no token with these settings.", Mend: "Read what the authority said, and correct the mail server settings.", Row: "class-grant-settings"}
}

// wordlessClass decides about an answer that is none of OAuth's: a page of
// something in between, for example. Where the authority refuses or points
// elsewhere, the address is wrong; anything else may go by.
func wordlessClass(e *oauth.Error) Verdict {
	if e.Status >= 300 {
		return Verdict{Act: Pause, Remedy: RemedySettings, Meaning: "What answers at " + e.Host + " gives out no tokens.", Mend: "Check tenant, cloud and addresses in the mail server settings, and that nothing in between answers instead.", Row: "class-grant-no-authority"}
	}
	return Verdict{Act: Retry, Meaning: "The answer of " + e.Host + " holds no token that can be used.", Mend: "Nothing: it is tried again. If it stays so, check the token address in the mail server settings.", Row: "class-grant-no-token"}
}

// reachClass decides about an authority that could not be asked.
func reachClass(e *oauth.Error) Verdict {
	v := Verdict{Act: Retry}
	var dns *net.DNSError
	var timeout net.Error
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	const open = "Allow HTTPS from this server to it in the firewall, or enter the proxy in the configuration (mail.oauth.proxy)."
	switch {
	case errors.As(e.Err, &dns):
		v.Meaning, v.Mend, v.Row = "The name "+e.Host+" cannot be looked up.", "Check this machine's DNS, or enter the proxy in the configuration (mail.oauth.proxy).", "grant-reach-dns"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		v.Meaning, v.Mend, v.Row = "The certificate of "+e.Host+" is not valid at this machine's time.", "Check this machine's clock.", "grant-reach-clock"
	case errors.As(e.Err, &unknown), errors.As(e.Err, &name), errors.As(e.Err, &invalid):
		v.Meaning, v.Mend, v.Row = "What answers as "+e.Host+" cannot prove that it is. Nothing was sent to it.", "Leave this host out of what inspects TLS in between, or let this machine's system trust the inspecting authority.", "grant-reach-tls"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		v.Meaning, v.Mend, v.Row = "The connection to "+e.Host+" is refused.", open, "grant-reach-refused"
	case errors.As(e.Err, &timeout) && timeout.Timeout():
		v.Meaning, v.Mend, v.Row = e.Host+" does not answer in time.", open, "grant-reach-timeout"
	default:
		v.Meaning, v.Mend, v.Row = "The connection to "+e.Host+" broke.", open, "grant-reach"
	}
	return v
}
