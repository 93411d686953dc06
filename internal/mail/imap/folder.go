package imap

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Folder is an opened folder.
type Folder struct {
	// Messages is how many there are.
	Messages uint32
	// Validity is the folder's UIDVALIDITY: UIDs of another one mean nothing.
	Validity uint32
}

// Open opens a folder, for reading alone where readOnly is set.
func (k *Conn) Open(ctx context.Context, name string, readOnly bool) (Folder, error) {
	word := "SELECT "
	if readOnly {
		word = "EXAMINE "
	}
	var f Folder
	answers, err := k.command(ctx, StageOpen, word+mailbox(name))
	if err != nil {
		return f, err
	}
	for _, a := range answers {
		if n, ok := strings.CutPrefix(a.code, "UIDVALIDITY "); ok && a.word == "OK" {
			f.Validity = number(n)
		}
		if len(a.tokens) == 2 && strings.EqualFold(a.tokens[1].text, "EXISTS") {
			f.Messages = number(a.tokens[0].text)
		}
	}
	if f.Validity == 0 {
		return f, k.fault(StageOpen, "the folder has no UIDVALIDITY, so that messages cannot be told apart")
	}
	return f, nil
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// Ends returns the lowest and the highest UID of the open folder, which is not
// empty.
func (k *Conn) Ends(ctx context.Context) (low, high uint32, err error) {
	for _, at := range []struct {
		which string
		uid   *uint32
	}{{"1", &low}, {"*", &high}} {
		answers, err := k.command(ctx, StageList, "FETCH "+at.which+" (UID)")
		if err != nil {
			return 0, 0, err
		}
		for _, a := range answers {
			if m, ok := fetched(a); ok {
				*at.uid = m.UID
			}
		}
	}
	return low, high, nil
}

// UIDs returns the UIDs of the open folder from the first to the last one,
// ascending.
func (k *Conn) UIDs(ctx context.Context, first, last uint32) ([]uint32, error) {
	answers, err := k.command(ctx, StageList, fmt.Sprintf("UID SEARCH UID %d:%d", first, last))
	if err != nil {
		return nil, err
	}
	var all []uint32
	for _, a := range answers {
		if len(a.tokens) == 0 || !strings.EqualFold(a.tokens[0].text, "SEARCH") {
			continue
		}
		for _, t := range a.tokens[1:] {
			// A range past the end means the last message, whatever it is.
			if n := number(t.text); n >= first && n <= last {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Message is a message, or its beginning.
type Message struct {
	UID uint32
	// Size is that of the whole message as the server says.
	Size uint32
	// Beginning are its first bytes.
	Beginning []byte
}

// Fetch returns the first bytes of a message without marking it as seen, at most
// most of them; false where it is gone.
func (k *Conn) Fetch(ctx context.Context, uid uint32, most int) (Message, bool, error) {
	tag, err := k.send(ctx, StageFetch, fmt.Sprintf("UID FETCH %d (UID RFC822.SIZE BODY.PEEK[]<0.%d>)", uid, most))
	if err != nil {
		return Message{}, false, err
	}
	answers, err := k.answers(StageFetch, tag, most)
	if err != nil {
		return Message{}, false, err
	}
	for _, a := range answers {
		if m, ok := fetched(a); ok && m.UID == uid && m.Beginning != nil {
			return m, true, nil
		}
	}
	return Message{}, false, nil
}

// fetched reads "n FETCH (...)".
func fetched(a answer) (Message, bool) {
	if len(a.tokens) < 4 || !strings.EqualFold(a.tokens[1].text, "FETCH") || a.tokens[2].paren != '(' {
		return Message{}, false
	}
	var m Message
	items := a.tokens[3:]
	for i := 0; i+1 < len(items); {
		name := strings.ToUpper(items[i].text)
		if items[i].paren != 0 {
			break
		}
		if items[i+1].paren == '(' {
			depth := 0
			for i++; i < len(items); i++ {
				switch items[i].paren {
				case '(':
					depth++
				case ')':
					depth--
				}
				if depth == 0 {
					break
				}
			}
			i++
			continue
		}
		value := items[i+1].text
		switch {
		case name == "UID":
			m.UID = number(value)
		case name == "RFC822.SIZE":
			m.Size = number(value)
		case strings.HasPrefix(name, "BODY[]"):
			m.Beginning = []byte(value)
		}
		i += 2
	}
	return m, m.UID != 0
}

// See marks a message as seen.
func (k *Conn) See(ctx context.Context, uid uint32) error {
	_, err := k.command(ctx, StageStore, fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Seen)`, uid))
	return err
}

// Delete deletes a message. A server without UIDPLUS keeps it, marked as
// deleted: taking it out would take out what others marked.
func (k *Conn) Delete(ctx context.Context, uid uint32) error {
	if _, err := k.command(ctx, StageStore, fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Deleted)`, uid)); err != nil {
		return err
	}
	if !k.offers("UIDPLUS") {
		return nil
	}
	_, err := k.command(ctx, StageStore, fmt.Sprintf("UID EXPUNGE %d", uid))
	return err
}

// Move moves a message to another folder, which is made where there is none.
func (k *Conn) Move(ctx context.Context, uid uint32, folder string) error {
	err := k.moveOnce(ctx, uid, folder)
	e, ok := err.(*Error)
	if !ok || e.Kind != KindRefused || !strings.HasPrefix(e.Code, "TRYCREATE") {
		return err
	}
	if _, err := k.command(ctx, StageMove, "CREATE "+mailbox(folder)); err != nil {
		return err
	}
	return k.moveOnce(ctx, uid, folder)
}

func (k *Conn) moveOnce(ctx context.Context, uid uint32, folder string) error {
	if k.offers("MOVE") {
		_, err := k.command(ctx, StageMove, fmt.Sprintf("UID MOVE %d %s", uid, mailbox(folder)))
		return err
	}
	if _, err := k.command(ctx, StageMove, fmt.Sprintf("UID COPY %d %s", uid, mailbox(folder))); err != nil {
		return err
	}
	return k.Delete(ctx, uid)
}

// CheckFolder tells whether a folder's name can be sent.
func CheckFolder(name string) bool {
	return name != "" && len(name) <= 200 && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// mailbox writes a folder's name as a quoted string in modified UTF-7 (RFC 3501
// 5.1.3).
func mailbox(name string) string {
	var b strings.Builder
	var pending []rune
	flush := func() {
		if len(pending) == 0 {
			return
		}
		var raw []byte
		for _, u := range utf16.Encode(pending) {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(raw), "/", ",") + "-")
		pending = nil
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			pending = append(pending, r)
			continue
		}
		flush()
		switch r {
		case '&':
			b.WriteString("&-")
		case '"', '\\':
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
	}
	flush()
	return `"` + b.String() + `"`
}
