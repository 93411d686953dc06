package smtp

import "time"

// Submission is one letter for one envelope.
type Submission struct {
	// From is the envelope's sender, To its recipients: local@domain.
	From string
	To   []string
	// Body is the whole message with CR LF line ends. It must not change until
	// the letter has its result.
	Body []byte
	// Notify asks the server to tell the sender of a failure or a delay and of
	// nothing else, where it offers that (DSN, RFC 3461). EnvID is what such a
	// notice names the letter by, "" for nothing.
	Notify bool
	EnvID  string
	// RequireTLS wants every server on the way to use verified TLS (RFC 8689).
	// A server that does not promise that does not get the letter.
	RequireTLS bool
	// BeforeContent and AfterContent, if not nil, are called before the first
	// byte of the content is written and after the last. With several letters in
	// flight, others may be written between. Where BeforeContent returns false, the
	// letter is withheld (ErrWithheld); a server that waits for its content by then
	// can only be left.
	BeforeContent func() bool
	AfterContent  func()
}

// Result is what came of one submission.
type Result struct {
	// Err is nil when the server accepted the letter for at least one
	// recipient.
	Err *Error
	// Refused are the recipients that the server did not take.
	Refused map[string]*Error
	// Reply is the server's last word on an accepted letter.
	Reply Reply
	// QueueID is the id under which the server says it queued the letter, or
	// "".
	QueueID string
	// Took is the time from MAIL to the last reply.
	Took time.Duration
}

// Each returns a source of letters for Send that gives subs one by one.
func Each(subs ...Submission) func() (Submission, bool) {
	return func() (Submission, bool) {
		if len(subs) == 0 {
			return Submission{}, false
		}
		s := subs[0]
		subs = subs[1:]
		return s, true
	}
}
