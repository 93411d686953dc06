package bench

import (
	"testing"
	"time"

	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/mail/message"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

// invitation is the letter that is measured, of about 5,000 bytes on its way.
func invitation(expires time.Time) letter.Invitation {
	return letter.Invitation{
		Name: "Ada Lovelace", Login: "ada", Role: "Password User", InvitedBy: "Grace Hopper", Expires: expires,
		Link: letter.Link{
			URL:  secret.New("https://vault.example.org:7272/invite#abcdefghijklmnopqrstuvwxyz"),
			Code: secret.New("abcdefghijklmnopqrstuvwxyz"),
		},
	}
}

// What the parts of a letter's way to the queue and out of it cost, without the
// database: rendering, sealing, opening, and making the bytes that are sent.
func BenchmarkLetter(b *testing.B) {
	h := build(b, storetest.Open(b, store.SQLite))
	inTx := func(b *testing.B, f func(tx *store.Tx) error) {
		b.ReportAllocs()
		must(b, h.db.Update(b.Context(), func(tx *store.Tx) error {
			for b.Loop() {
				if err := f(tx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	letters, err := letter.New()
	must(b, err)
	expires := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	var content letter.Content
	b.Run("render", func(b *testing.B) {
		inTx(b, func(tx *store.Tx) (err error) { content, err = letters.Render(tx, invitation(expires)); return err })
	})
	place := keyring.Place{Table: "outbox_letter", Row: store.NewID(), Column: "sealed"}
	var sealed []byte
	text := secret.New(content.Text.Reveal() + content.HTML.Reveal())
	b.Run("seal", func(b *testing.B) {
		inTx(b, func(tx *store.Tx) (err error) {
			sealed, err = h.keys.Seal(tx, keyring.PurposeOutbox, place, text)
			return err
		})
	})
	b.Run("open", func(b *testing.B) {
		inTx(b, func(tx *store.Tx) error { _, err := h.keys.Open(tx, place, sealed); return err })
	})
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		size := 0
		for b.Loop() {
			from := message.Address{Name: "Sealpost", Local: "vault", Domain: "example.org"}
			to := message.Address{Name: "Ada Lovelace", Local: "ada", Domain: "example.org"}
			body, err := message.Build(message.Parts{
				From: from, To: to, Subject: content.Subject, Text: content.Text.Reveal(), HTML: content.HTML.Reveal(),
				MessageID: "<6f1ed002ab5595859014ebf0951522d9@vault.example.org>", Date: expires,
			})
			must(b, err)
			size = len(body)
		}
		b.ReportMetric(float64(size), "B/letter")
	})
}
