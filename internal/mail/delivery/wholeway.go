package delivery

import (
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/letter"
)

// wholeWay tells whether a letter of a kind is to stay on TLS to the recipient's
// server (RFC 8689). It is asked of servers that promise it alone: where one does
// not, the letter leaves all the same, for it may be the only way in.
func (tr *trip) wholeWay(kind string) bool {
	if !tr.t.Profile.RequireTLS {
		return false
	}
	info, _ := letter.Info(kind)
	return info.OneTime && mail.PassesOnOverTLS(tr.lane.conn)
}
