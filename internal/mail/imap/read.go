package imap

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	// maxLine bounds a line, and what an answer has beside the literal that was
	// asked for, in bytes.
	maxLine = 128 << 10
	// maxAnswers bounds what comes before the end of a command.
	maxAnswers = 20_000
	// maxTotal bounds that in bytes, and maxTokens in what they are made of.
	maxTotal  = 8 << 20
	maxTokens = 30_000
	// smallLiteral bounds literals that nobody asked for.
	smallLiteral = 4 << 10
)

// token is a part of an answer: an atom, a string, or a parenthesis.
type token struct {
	text string
	// paren is '(' or ')', and 0 for a value.
	paren byte
	// literal tells that the text came as a literal.
	literal bool
}

// answer is one untagged response. For a status response (OK, NO, BAD, BYE) only
// word, code and text are set; else tokens.
type answer struct {
	word, code, text string
	tokens           []token
}

// line reads one line without its end.
func (k *Conn) line(stage Stage) (string, error) {
	var b []byte
	for {
		part, err := k.r.ReadSlice('\n')
		if len(b)+len(part) > maxLine {
			return "", k.fault(stage, "a line of the server is too long")
		}
		b = append(b, part...)
		switch {
		case err == nil:
			text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
			if strings.ContainsAny(text, "\x00\r") {
				return "", k.fault(stage, "a line of the server holds a control character")
			}
			return text, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", k.lost(stage, err)
		}
	}
}

// answers reads up to the end of the command with the tag. most bounds a literal
// that was asked for.
func (k *Conn) answers(stage Stage, tag string, most int) ([]answer, error) {
	var all []answer
	total, tokens := 0, 0
	for {
		line, err := k.line(stage)
		if err != nil {
			return nil, err
		}
		total += len(line)
		if len(all) > maxAnswers || total > maxTotal {
			return nil, k.fault(stage, "the server answers without an end")
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return all, k.ended(stage, rest)
		}
		rest, ok := strings.CutPrefix(line, "* ")
		if !ok {
			return nil, k.fault(stage, "this is no answer of IMAP: "+line)
		}
		a, err := k.untagged(stage, rest, most)
		if err != nil {
			return nil, err
		}
		if a.word == "BYE" && stage != StageConnect {
			k.broken = true
			return nil, &Error{Stage: stage, Kind: KindRefused, Code: a.code, Text: clean(a.text)}
		}
		if tokens += len(a.tokens); tokens > maxTokens {
			return nil, k.fault(stage, "the server answers without an end")
		}
		for _, t := range a.tokens {
			if t.literal {
				total += min(len(t.text), smallLiteral)
			}
			if t.literal && len(t.text) > smallLiteral {
				most = 0 // one was asked for
			}
		}
		all = append(all, a)
	}
}

// ended reads the last line of a command.
func (k *Conn) ended(stage Stage, rest string) error {
	word, text, _ := strings.Cut(rest, " ")
	code, said := respText(text)
	switch strings.ToUpper(word) {
	case "OK":
		return nil
	case "NO", "BAD":
		return &Error{Stage: stage, Kind: KindRefused, Code: code, Text: clean(said)}
	}
	return k.fault(stage, "this is no answer of IMAP: "+rest)
}

// respText splits off a response code.
func respText(text string) (code, said string) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if code, rest, ok := strings.Cut(inner, "]"); ok {
			return strings.ToUpper(code), strings.TrimSpace(rest)
		}
	}
	return "", text
}

// untagged reads the rest of an untagged response, with its literals.
func (k *Conn) untagged(stage Stage, rest string, most int) (answer, error) {
	word, text, _ := strings.Cut(rest, " ")
	switch word := strings.ToUpper(word); word {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		code, said := respText(text)
		return answer{word: word, code: code, text: said}, nil
	}
	var a answer
	length := 0
	for {
		tokens, size, err := tokenise(rest)
		if err != nil {
			return answer{}, k.fault(stage, err.Error())
		}
		a.tokens = append(a.tokens, tokens...)
		if size < 0 {
			return a, nil
		}
		if size > max(most, smallLiteral) {
			return answer{}, k.fault(stage, "the server sends more than was asked for")
		}
		// Memory grows with what comes, not with what was announced.
		var b strings.Builder
		if n, err := io.CopyN(&b, k.r, int64(size)); err != nil || n != int64(size) {
			return answer{}, k.lost(stage, err)
		}
		a.tokens = append(a.tokens, token{text: b.String(), literal: true})
		if size > smallLiteral {
			most = 0
		}
		if rest, err = k.line(stage); err != nil {
			return answer{}, err
		}
		if length += len(rest) + min(size, smallLiteral); length > maxLine {
			return answer{}, k.fault(stage, "an answer of the server is too long")
		}
	}
}

var errToken = errors.New("an answer of the server cannot be read")

// tokenise splits a line. literal is the size of one that follows it, and -1
// where none does.
func tokenise(line string) (all []token, literal int, err error) {
	for line != "" {
		switch c := line[0]; c {
		case ' ':
			line = line[1:]
		case '(', ')':
			all = append(all, token{paren: c})
			line = line[1:]
		case '"':
			text, rest, ok := quoted(line[1:])
			if !ok {
				return nil, -1, errToken
			}
			all = append(all, token{text: text})
			line = rest
		case '{':
			size, ok := strings.CutSuffix(line[1:], "}")
			n, err := strconv.ParseUint(strings.TrimSuffix(size, "+"), 10, 31)
			if !ok || err != nil {
				return nil, -1, errToken
			}
			return all, int(n), nil
		default:
			end := strings.IndexAny(line, " ()")
			if end < 0 {
				end = len(line)
			}
			all = append(all, token{text: line[:end]})
			line = line[end:]
		}
	}
	return all, -1, nil
}

// quoted reads a string up to its closing quote.
func quoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
