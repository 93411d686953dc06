package operator

import (
	"time"

	"github.com/sealpost/sealpost/internal/mail/diagnose"
	"github.com/sealpost/sealpost/internal/mail/verdict"
)

// The names of the commands.
const (
	CmdAdminCreate = "admin.create"
	CmdAdminReset  = "admin.reset-password"
	CmdKeyStatus   = "key.status"
	CmdKeyRotate   = "key.rotate"
	CmdAuditVerify = "audit.verify"
	CmdAuditList   = "audit.list"
	CmdTrustImport = "trust.import"
	CmdTrustList   = "trust.list"
	CmdTrustRemove = "trust.remove"
	CmdMailTest    = "mail.test"
	CmdMailStatus  = "mail.status"
	CmdMailJournal = "mail.journal"
	CmdApply       = "apply"
)

// AdminCreate are the arguments of [CmdAdminCreate]. Without a password the
// result holds a one-time link.
type AdminCreate struct {
	Login    string `json:"login"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password,omitempty"`
}

// AdminReset are the arguments of [CmdAdminReset]. Without a password the
// result holds a one-time link.
type AdminReset struct {
	Login    string `json:"login"`
	Password string `json:"password,omitempty"`
}

// AdminDone is the result of both.
type AdminDone struct {
	Login string `json:"login"`
	// Link is a one-time link to choose a password, if none was given.
	Link    string    `json:"link,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Key is the state of the keys of one purpose.
type Key struct {
	Purpose string `json:"purpose"`
	// Version is the newest version, made at Created; it seals.
	Version int64     `json:"version"`
	Created time.Time `json:"created"`
	// Older counts earlier versions that still open something.
	Older int `json:"older"`
}

// KeyStatus is the result of [CmdKeyStatus].
type KeyStatus struct {
	Keys []Key `json:"keys"`
	// RotatingSince is when a rotation that has not ended was begun.
	RotatingSince time.Time `json:"rotating_since,omitzero"`
}

// KeyRotated is the result of [CmdKeyRotate].
type KeyRotated struct {
	// Rewrapped is the number of values sealed with the new keys, Retired that
	// of old keys destroyed.
	Rewrapped int `json:"rewrapped"`
	Retired   int `json:"retired"`
	// Resumed tells that a rotation begun before was finished.
	Resumed bool `json:"resumed,omitempty"`
	// Damaged names values that do not open. While there are any, the old
	// keys are kept.
	Damaged []string `json:"damaged,omitempty"`
}

// AuditVerified is the result of [CmdAuditVerify].
type AuditVerified struct {
	OK       bool   `json:"ok"`
	Entries  int64  `json:"entries"`
	FirstBad int64  `json:"first_bad,omitempty"`
	What     string `json:"what,omitempty"`
}

// AuditList are the arguments of [CmdAuditList]. Empty fields do not filter.
type AuditList struct {
	Text   string    `json:"text,omitempty"`
	Action string    `json:"action,omitempty"`
	Login  string    `json:"login,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Before int64     `json:"before,omitempty"`
	Limit  int       `json:"limit,omitempty"`
	// Trace is the id of what caused the entries.
	Trace string `json:"trace,omitempty"`
}

// AuditEntry is one entry of the audit log.
type AuditEntry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Door    string    `json:"door,omitempty"`
	From    string    `json:"from,omitempty"`
	Action  string    `json:"action"`
	Kind    string    `json:"kind,omitempty"`
	Name    string    `json:"name,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Detail  []string  `json:"detail,omitempty"`
	// Trace is the id of the request, the command or the turn of a loop.
	Trace string `json:"trace,omitempty"`
}

// AuditPage is the result of [CmdAuditList], newest first. Next is the Before
// of the following page, 0 at the end.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Next    int64        `json:"next,omitempty"`
}

// TrustImport are the arguments of [CmdTrustImport]. Files hold the contents
// of PEM or DER files. Password is the mail server's password, taken again
// because it is bound to the certificates that are trusted with it.
type TrustImport struct {
	Files    [][]byte `json:"files"`
	Pin      bool     `json:"pin,omitempty"`
	Password string   `json:"password,omitempty"`
	// Server is "main" or "second"; empty is the first.
	Server string `json:"server,omitempty"`
}

// TrustList are the arguments of [CmdTrustList]. Server is as in
// [TrustImport].
type TrustList struct {
	Server string `json:"server,omitempty"`
}

// TrustRemove are the arguments of [CmdTrustRemove]. Fingerprint is the
// SHA-256 of the certificate in hexadecimal; a unique beginning of at least
// eight digits is enough.
type TrustRemove struct {
	Fingerprint string `json:"fingerprint"`
	Password    string `json:"password,omitempty"`
	// Server is as in [TrustImport].
	Server string `json:"server,omitempty"`
}

// Certificate is one trusted certificate.
type Certificate struct {
	Fingerprint string    `json:"fingerprint"`
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty"`
	Mode        string    `json:"mode"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	AddedBy     string    `json:"added_by,omitempty"`
	AddedAt     time.Time `json:"added_at,omitzero"`
}

// TrustChanged is the result of [CmdTrustList], [CmdTrustImport] and
// [CmdTrustRemove].
type TrustChanged struct {
	// Changed are the certificates that were added or removed; empty for a
	// list.
	Changed []Certificate `json:"changed,omitempty"`
	// Trusted are all certificates trusted now.
	Trusted []Certificate `json:"trusted"`
	// Paused says why mail is paused since, or is empty.
	Paused string `json:"paused,omitempty"`
}

// MailTest are the arguments of [CmdMailTest].
type MailTest struct {
	To string `json:"to"`
	// Server is as in [TrustImport].
	Server string `json:"server,omitempty"`
	// File asks for the text, WholeAddresses for addresses in it as they are.
	File           bool `json:"file,omitempty"`
	WholeAddresses bool `json:"whole_addresses,omitempty"`
}

// MailTested is the result of [CmdMailTest].
type MailTested struct {
	// Report is what programs read, File the text to send to somebody who can
	// help, if it was asked for.
	Report MailReport `json:"report"`
	File   string     `json:"file,omitempty"`
}

// MailReport is a test of a mail server, and MailStep a part of it, as the
// settings page gives it too.
type (
	MailReport = diagnose.Document
	MailStep   = diagnose.DocumentStep
)

// Replies returns the version of the tables that explain what servers say.
func Replies() string { return verdict.Version() }

// MailServer is how one mail server stands.
type MailServer struct {
	// Server is "host:port", or empty when no mail server is set up.
	Server string `json:"server"`
	Sender string `json:"sender,omitempty"`
	// State is "working", "paused", "stopped" or "none".
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	Advice string `json:"advice,omitempty"`
	// Command is what to type elsewhere for it, Said what the server or the
	// provider said, Link its page about it. Remedy is "sign_in" or "settings"
	// where somebody must do that so that mail leaves.
	Command string `json:"command,omitempty"`
	Said    string `json:"said,omitempty"`
	Link    string `json:"link,omitempty"`
	Remedy  string `json:"remedy,omitempty"`

	Since        time.Time `json:"since,omitzero"`
	LastAccepted time.Time `json:"last_accepted,omitzero"`
	// Recipients24h counts the recipients of the last day, RecipientsLimit is
	// what the mailbox takes; 0 where nobody knows.
	Recipients24h   int `json:"recipients_24h"`
	RecipientsLimit int `json:"recipients_limit,omitempty"`
	// SignedIn is set where the server is signed in to with a token.
	SignedIn *SignedIn `json:"signed_in,omitempty"`
	// Ends is all that ends, the next first.
	Ends []End `json:"ends,omitempty"`
	// Notes are further sentences to read, such as what ends soon.
	Notes []string `json:"notes,omitempty"`
	// Covered tells that the other server sends the letters of this one now.
	Covered bool `json:"covered,omitempty"`
}

// MailStatus is the result of [CmdMailStatus]: the first mail server, and what
// is true of both.
type MailStatus struct {
	MailServer
	// Second is the server beside it, nil where there is none. Fallback is when
	// one stands in for the other: "never", "at_once", "5m", "15m" or "60m";
	// Routes counts the domains whose letters leave through the second.
	Second   *MailServer `json:"second,omitempty"`
	Fallback string      `json:"fallback,omitempty"`
	Routes   int         `json:"routes,omitempty"`

	Waiting     int       `json:"waiting"`
	Oldest      time.Time `json:"oldest,omitzero"`
	Accepted24h int       `json:"accepted_24h"`
	Delayed24h  int       `json:"delayed_24h"`
	Failed24h   int       `json:"failed_24h"`
}

// SignedIn is what is known of the tokens for the mail server.
type SignedIn struct {
	// Who signed in at the provider, in which tenant of it, when, and by whom
	// in Sealpost; empty where nobody had to.
	Who    string    `json:"who,omitempty"`
	Tenant string    `json:"tenant,omitempty"`
	At     time.Time `json:"at,omitzero"`
	By     string    `json:"by,omitempty"`
	Scopes string    `json:"scopes,omitempty"`
	// TokenFrom is when the provider last gave a token, TokenEnds when that
	// ends.
	TokenFrom time.Time `json:"token_from,omitzero"`
	TokenEnds time.Time `json:"token_ends,omitzero"`
}

// End is something of the mail server that ends.
type End struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// MailJournal are the arguments of [CmdMailJournal]. Empty fields do not
// filter.
type MailJournal struct {
	Text string `json:"text,omitempty"`
	// State is a letter's, "waiting" for all that are on their way, or "bounced"
	// for those that came back.
	State string `json:"state,omitempty"`
	Kind  string `json:"kind,omitempty"`
	// Server is "main" or "second", Trace the id of what caused a letter.
	Server string `json:"server,omitempty"`
	Trace  string `json:"trace,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// Letter is one row of the mail journal.
type Letter struct {
	ID        string    `json:"id"`
	MessageID string    `json:"message_id"`
	Kind      string    `json:"kind"`
	To        string    `json:"to"`
	State     string    `json:"state"`
	Added     time.Time `json:"added"`
	Changed   time.Time `json:"changed"`
	Attempts  int       `json:"attempts"`
	Reply     string    `json:"reply,omitempty"`
	// Class is its urgency, Server the one that was tried last, and Tried which of
	// the two that was; Route is the one that it should leave through.
	Class  string `json:"class"`
	Server string `json:"server,omitempty"`
	Route  string `json:"route"`
	Tried  string `json:"tried_through,omitempty"`
	// Waited is how many seconds after it was added a server accepted it.
	Waited float64 `json:"accepted_after_seconds,omitempty"`
	// Bounce is "failed" where it came back, "delayed" where it is late.
	Bounce string `json:"bounce,omitempty"`
	Trace  string `json:"trace,omitempty"`
}

// JournalPage is the result of [CmdMailJournal], newest first.
type JournalPage struct {
	Letters []Letter `json:"letters"`
	Next    string   `json:"next,omitempty"`
}

// Apply are the arguments of [CmdApply]: the file and what its references
// point to.
type Apply struct {
	File    []byte            `json:"file"`
	Secrets map[string][]byte `json:"secrets,omitempty"`
	// Check compares and changes nothing.
	Check bool `json:"check,omitempty"`
}

// ApplyStep is one difference between the file and what is there.
type ApplyStep struct {
	// Verb is "create" or "change".
	Verb string `json:"verb"`
	// What names the object, e.g. `user "ada"`.
	What string `json:"what"`
	// Lines are the differences in words; secrets are named, never shown.
	Lines []string `json:"lines,omitempty"`
}

// Applied is the result of [CmdApply].
type Applied struct {
	Steps []ApplyStep `json:"steps"`
	// Done is the number of steps that were taken; 0 with Check.
	Done int `json:"done"`
}
