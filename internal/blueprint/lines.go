package blueprint

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sealpost/sealpost/internal/fault"
)

// lines tells in which line of the file a key stands, by its path, such as
// "users[0].login".
type lines map[string]int

// readLines notes the lines of all keys of a file that was read already.
func readLines(data []byte) lines {
	l := lines{}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err == nil {
		for _, n := range document.Content {
			l.walk("", n)
		}
	}
	return l
}

func (l lines) walk(path string, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
			l[key] = n.Content[i].Line
			l.walk(key, n.Content[i+1])
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			key := fmt.Sprintf("%s[%d]", path, i)
			l[key] = item.Line
			l.walk(key, item)
		}
	}
}

// of returns the line of a path, or of the nearest thing around it that stands
// in the file; 0 where nothing does.
func (l lines) of(path string) int {
	for path != "" {
		if n := l[path]; n > 0 {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// locate puts the line in front of each sentence about a key.
func (l lines) locate(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Fields) == 0 {
		return err
	}
	at := *f
	at.Fields = make([]fault.FieldError, len(f.Fields))
	for i, field := range f.Fields {
		if n := l.of(field.Field); n > 0 {
			field.Sentence = fmt.Sprintf("line %d: %s", n, field.Sentence)
		}
		at.Fields[i] = field
	}
	if len(at.Fields) == 1 {
		at.Sentence = at.Fields[0].Sentence
	}
	return &at
}
