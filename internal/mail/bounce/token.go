package bounce

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/dsn"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/store"
)

// A token is the version of the MAC key, the letter's id and the first bytes of
// a MAC, in base32: 40 characters that no server changes, whatever it does to
// the case of letters. 64 bits of MAC are few for a file and enough here: each
// guess costs a mail, and gains a mark beside an address.
const (
	macSize  = 8
	maxToken = 40
	// macLabel keeps these MACs apart from others under the same key.
	macLabel = "sealpost bounce token 1"
)

var tokens = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// tokenKey makes the MACs of tokens.
type tokenKey struct {
	version uint64
	key     []byte
}

// tokenKey derives the key of a version; 0 means the newest.
func (s *Service) tokenKey(tx *store.Tx, version int64) (tokenKey, error) {
	key, used, err := s.keys.MAC(tx, keyring.PurposeMail, version, []byte(macLabel))
	return tokenKey{uint64(used), key}, err
}

func (k tokenKey) mac(id []byte) []byte {
	h := hmac.New(sha256.New, k.key)
	h.Write(id)
	return h.Sum(nil)[:macSize]
}

// token names a letter, "" for an id that is none.
func (k tokenKey) token(letterID string) string {
	id, err := uuid.Parse(letterID)
	if err != nil {
		return ""
	}
	b := binary.AppendUvarint(nil, k.version)
	b = append(append(b, id[:]...), k.mac(id[:])...)
	if text := tokens.EncodeToString(b); len(text) <= maxToken {
		return text
	}
	return ""
}

// readToken returns the letter that a token names, and "" for one that this
// installation did not make.
func (s *Service) readToken(tx *store.Tx, text string) (letterID string, err error) {
	b, err := tokens.DecodeString(strings.ToLower(strings.TrimSpace(text)))
	if err != nil {
		return "", nil
	}
	version, n := binary.Uvarint(b)
	if n <= 0 || version == 0 || version > 1<<20 || len(b) != n+len(uuid.UUID{})+macSize {
		return "", nil
	}
	newest, err := s.tokenKey(tx, 0)
	if err != nil {
		return "", err
	}
	if version > newest.version {
		return "", nil // no such key: asking for it would be a failure
	}
	key := newest
	if version != newest.version {
		if key, err = s.tokenKey(tx, int64(version)); err != nil {
			return "", err
		}
	}
	id, mac := b[n:n+len(uuid.UUID{})], b[n+len(uuid.UUID{}):]
	if !hmac.Equal(mac, key.mac(id)) {
		return "", nil
	}
	return uuid.UUID(id).String(), nil
}

// envelope is how letters are to leave.
type envelope struct {
	until         time.Time
	kind          Envelope
	local, domain string
	ask           bool
	key           tokenKey
}

// envelopeLife is how long the settings are remembered for letters that leave:
// reading them for each would cost a round trip to the database.
const envelopeLife = 5 * time.Second

// Back is where reports about a letter go.
type Back struct {
	// From is the envelope sender.
	From string
	// Ask tells that the server is asked for reports, EnvID by what they name
	// the letter.
	Ask   bool
	EnvID string
}

// Return tells how a letter leaves whose sender is from. Where the settings
// cannot be had, it leaves as without any.
func (s *Service) Return(ctx context.Context, letterID, from string) Back {
	e, err := s.currentEnvelope(ctx)
	if err != nil {
		s.log.Warn("the settings for bounces cannot be read: letters leave without them", "err", err)
		return Back{From: from}
	}
	back := Back{From: from, Ask: e.ask}
	token := e.key.token(letterID)
	if e.ask {
		back.EnvID = token
	}
	switch {
	case e.kind == Token && token != "":
		back.From = e.local + "+" + token + "@" + e.domain
	case e.kind == Token, e.kind == Plain:
		back.From = e.local + "@" + e.domain
	}
	return back
}

func (s *Service) currentEnvelope(ctx context.Context) (envelope, error) {
	s.mu.Lock()
	e := s.envelope
	s.mu.Unlock()
	now := s.now()
	if now.Before(e.until) {
		return e, nil
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		set, ok, err := selectSettings(tx, "")
		if err != nil {
			return err
		}
		// Before anybody set anything, letters leave as they always did.
		e = envelope{until: now.Add(envelopeLife), kind: Sender}
		if !ok {
			return nil
		}
		e.kind, e.ask = set.Envelope, set.Ask
		if e.kind != Sender {
			a, err := message.ParseAddress(set.Address)
			if err != nil {
				return err
			}
			e.local, e.domain = a.Local, a.Domain
		}
		e.key, err = s.tokenKey(tx, 0)
		return err
	})
	if err != nil {
		return envelope{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.envelope = e
	return e, nil
}

func (s *Service) forgetEnvelope() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.envelope = envelope{}
}

// match returns the letter that a report proves to be about, and "" where it
// proves none or, which nothing honest does, several.
func (s *Service) match(tx *store.Tx, r dsn.Report) (letterID string, err error) {
	found := ""
	several := false
	note := func(id string) {
		several = several || id != "" && found != "" && id != found
		if id != "" {
			found = id
		}
	}
	for _, text := range r.Envelopes {
		id, err := s.readToken(tx, text)
		if err != nil {
			return "", err
		}
		note(id)
	}
	for _, a := range r.Addresses {
		local, _, _ := strings.Cut(a, "@")
		_, text, ok := strings.Cut(local, "+")
		if !ok || len(text) > maxToken {
			continue
		}
		id, err := s.readToken(tx, text)
		if err != nil {
			return "", err
		}
		note(id)
	}
	for _, messageID := range r.Messages {
		id, err := s.outbox.ByMessageID(tx, messageID)
		if err != nil {
			return "", err
		}
		note(id)
	}
	if several {
		return "", nil
	}
	return found, nil
}
