package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/sealpost/sealpost/internal/fault"
)

// request is one line to the socket.
type request struct {
	Command string          `json:"command"`
	Args    json.RawMessage `json:"args,omitempty"`
	// Login is the operating-system user as the command line sees it; the
	// server prefers what the kernel says of its peer.
	Login string `json:"login"`
}

// reply is one line from the socket. Any number of lines and progress come
// before exactly one result or failure.
type reply struct {
	Line     *string         `json:"line,omitempty"`
	Progress *progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Failure  *failure        `json:"failure,omitempty"`
}

type progress struct {
	Label string `json:"label"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// failure carries a fault over the socket without its cause, which stays in
// the server's log.
type failure struct {
	Kind     fault.Kind         `json:"kind"`
	Sentence string             `json:"sentence"`
	Code     string             `json:"code,omitempty"`
	Fields   []fault.FieldError `json:"fields,omitempty"`
}

func toFailure(err error) *failure {
	return &failure{
		Kind: fault.KindOf(err), Sentence: fault.Sentence(err),
		Code: fault.CodeOf(err), Fields: fault.Fields(err),
	}
}

func (f *failure) fault() error {
	return &fault.Error{Kind: f.Kind, Sentence: f.Sentence, Code: f.Code, Fields: f.Fields}
}

// strict decodes exactly one JSON value without unknown fields. Nothing at
// all counts as the empty object.
func strict(b []byte, into any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		b = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
