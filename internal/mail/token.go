package mail

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/audit"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/profile"
	"github.com/sealpost/sealpost/internal/mail/record"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/store"
)

const (
	// tokenLife is how long a passed test vouches for the values.
	tokenLife = 30 * time.Minute
	// testWindow and testLimit bound the tests of one actor.
	testWindow = time.Minute
	testLimit  = 10
	tokenLabel = "sealpost mail test 1"
	tokenHead  = 8 + 8 + 8
)

// proof is what is known of a passed test.
type proof struct {
	at       time.Time
	certEnds time.Time
}

// values are what a test is about, without the password: names, answers and
// timeouts can change without a new one.
func (d Draft) values() string {
	p := d.Profile
	values := []string{
		string(p.Kind), p.Host, strconv.Itoa(p.Port), string(p.Security), p.SenderAddress, string(p.Auth),
		strconv.Quote(p.Username), p.AccountID, p.Mechanism, p.LocalName, trust.SetDigest(d.Anchors),
	}
	if p.Auth == AuthOAuth {
		p.ID = "" // a test before the first Save knows none
		values = append(values, profile.TokenBind(p, d.Anchors), string(p.OAuth.ClientAuth), strconv.Quote(p.OAuth.Mailbox))
	}
	return strings.Join(values, "\n")
}

// Passed returns the token with which the values of a draft can be saved for
// the next 30 minutes. Where they are the stored ones, those count as tested at
// once, which is audited. certEnds is the end of the server's certificate, zero
// without TLS.
func (s *Service) Passed(ctx context.Context, d Draft, certEnds time.Time) (string, error) {
	var token string
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		head := make([]byte, tokenHead)
		binary.BigEndian.PutUint64(head[8:], uint64(store.Micros(tx.Now())))
		binary.BigEndian.PutUint64(head[16:], uint64(store.Micros(certEnds)))
		mac, version, err := s.keys.MAC(tx, keyring.PurposeMail, 0, tokenBytes(head[8:], d))
		binary.BigEndian.PutUint64(head, uint64(version))
		token = base64.RawURLEncoding.EncodeToString(append(head, mac...))
		if err != nil {
			return err
		}
		return s.markTested(tx, d, certEnds)
	})
	return token, err
}

// markTested notes that the stored settings passed a test, if they are those
// of the draft. The revision stays: nobody's form is out of date for it.
func (s *Service) markTested(tx *store.Tx, d Draft, certEnds time.Time) error {
	st, ok, err := s.find(tx, true)
	if err != nil || !ok || st.Kind == KindCapture {
		return err
	}
	same, err := s.isStored(tx, d, st)
	if err != nil || !same {
		return err
	}
	st.TestedAt, st.ServerCertificateEnds = tx.Now(), certEnds
	if err := record.Write(tx, st); err != nil {
		return err
	}
	return s.audit.Append(tx, d.tester, audit.Event{
		Action: "mail.tested", Kind: "mail_server", ID: st.ID, Name: st.Server(),
		Detail: []audit.Detail{{Name: "outcome", Value: "passed"}, {Name: "saved settings", Value: "count as tested"}},
	})
}

// isStored reports whether a test of the draft was one of what is stored, the
// password or the consent to use the account included.
func (s *Service) isStored(tx *store.Tx, d Draft, st record.Row) (bool, error) {
	now, err := s.storedDraft(tx, st)
	if err != nil || d.values() != now.values() || st.Auth == AuthNone {
		return err == nil && d.values() == now.values(), err
	}
	if st.Auth == AuthOAuth && !st.OAuth.HasCredential() {
		return true, nil
	}
	kept, err := s.opens(tx, now.Profile, now.Anchors, st.Sealed)
	if err != nil || st.Auth == AuthAccount {
		return !kept.IsZero(), err
	}
	return !kept.IsZero() && kept.Equal(d.password), nil
}

// tokenBytes are what a token's MAC is over. Only a MAC of the password ever
// leaves, with a key that does not.
func tokenBytes(times []byte, d Draft) []byte {
	return fmt.Appendf(nil, "%s\n%x\n%q\n%q", tokenLabel, times, d.values(), d.password.Reveal())
}

// readToken reports whether a token vouches for the draft.
func (s *Service) readToken(tx *store.Tx, token string, d Draft) (proof, bool, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) <= tokenHead {
		return proof{}, false, nil
	}
	version := int64(binary.BigEndian.Uint64(b))
	at := store.FromMicros(int64(binary.BigEndian.Uint64(b[8:])))
	now := tx.Now()
	if version <= 0 || at.After(now) || now.Sub(at) > tokenLife {
		return proof{}, false, nil
	}
	mac, _, err := s.keys.MAC(tx, keyring.PurposeMail, version, tokenBytes(b[8:tokenHead], d))
	if err != nil {
		// A version that does not exist was never given out.
		return proof{}, false, nil
	}
	certEnds := store.FromMicros(int64(binary.BigEndian.Uint64(b[16:])))
	return proof{at: at, certEnds: certEnds}, hmac.Equal(mac, b[tokenHead:]), nil
}

// allowTest counts and audits a test.
func (s *Service) allowTest(ctx context.Context, by actor.Actor, p Profile, to string) error {
	who := by.UserID
	if who == "" {
		who = by.Login
	}
	return s.db.Update(ctx, func(tx *store.Tx) error {
		since := tx.Now().Add(-testWindow)
		n, err := record.CountTests(tx, who, since)
		if err != nil {
			return err
		}
		if n >= testLimit {
			return fault.Unavailable("That were ten tests in a minute. Wait a moment.").WithCode(fault.CodeLimited)
		}
		if err := record.AddTest(tx, who, since); err != nil {
			return err
		}
		return s.audit.Append(tx, by, audit.Event{
			Action: "mail.tested", Kind: "mail_server", ID: p.ID, Name: p.Server(),
			Detail: []audit.Detail{{Name: "mail to", Value: to}, {Name: "secure connection", Value: string(p.Security)}},
		})
	})
}
