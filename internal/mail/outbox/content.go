package outbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/keyring"
	"github.com/sealpost/sealpost/internal/mail/letter"
	"github.com/sealpost/sealpost/internal/secret"
	"github.com/sealpost/sealpost/internal/store"
)

// sealedContent is a letter's content as it is sealed.
type sealedContent struct {
	Text     string `json:"text"`
	HTML     string `json:"html"`
	Logo     []byte `json:"logo,omitempty"`
	LogoType string `json:"logo_type,omitempty"`
}

// contentTwo is the first byte of what is sealed: the fields follow, each behind
// its length as a uvarint. What begins with a brace is JSON, of letters that
// were added before.
const contentTwo = 2

var errContent = errors.New("outbox: a letter's content is not whole")

func (c sealedContent) encode() string {
	var b strings.Builder
	b.Grow(1 + 4*binary.MaxVarintLen64 + len(c.Text) + len(c.HTML) + len(c.LogoType) + len(c.Logo))
	b.WriteByte(contentTwo)
	length := func(n int) { b.Write(binary.AppendUvarint(nil, uint64(n))) }
	for _, f := range []string{c.Text, c.HTML, c.LogoType} {
		length(len(f))
		b.WriteString(f)
	}
	length(len(c.Logo))
	b.Write(c.Logo)
	return b.String()
}

func decodeContent(plain string) (sealedContent, error) {
	var c sealedContent
	if plain == "" || plain[0] != contentTwo {
		return c, json.Unmarshal([]byte(plain), &c)
	}
	rest, whole := plain[1:], true
	field := func() string {
		// A uvarint of a length has no more than ten bytes.
		n, w := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if w <= 0 || n > uint64(len(rest)-w) {
			whole = false
			return ""
		}
		f := rest[w : w+int(n)]
		rest = rest[w+int(n):]
		return f
	}
	c.Text, c.HTML, c.LogoType = field(), field(), field()
	if logo := field(); logo != "" {
		c.Logo = []byte(logo)
	}
	if !whole || rest != "" {
		return sealedContent{}, errContent
	}
	return c, nil
}

func place(id string) keyring.Place {
	return keyring.Place{Table: "outbox_letter", Row: id, Column: "sealed"}
}

func (o *Outbox) seal(tx *store.Tx, id string, c letter.Content) ([]byte, error) {
	content := sealedContent{c.Text.Reveal(), c.HTML.Reveal(), c.Logo, c.LogoType}
	return o.keys.Seal(tx, keyring.PurposeOutbox, place(id), secret.New(content.encode()))
}

func (o *Outbox) open(tx *store.Tx, id string, sealed []byte) (sealedContent, error) {
	v, err := o.keys.Open(tx, place(id), sealed)
	if err != nil {
		return sealedContent{}, err
	}
	return readContent(v)
}

// openApart is open after the transaction in which the letter was read.
func (o *Outbox) openApart(ctx context.Context, id string, sealed []byte) (sealedContent, error) {
	v, err := o.keys.OpenApart(ctx, place(id), sealed)
	if err != nil {
		return sealedContent{}, err
	}
	return readContent(v)
}

func readContent(v secret.Value) (sealedContent, error) {
	c, err := decodeContent(v.Reveal())
	if err != nil {
		return c, fault.Internal(fmt.Errorf("a sealed letter is not readable: %w", err))
	}
	return c, nil
}
