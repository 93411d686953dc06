package letter

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	texttemplate "text/template"
	"text/template/parse"
	"time"

	"github.com/sealpost/sealpost/internal/secret"
)

// A plan is a template made ready to be executed without reflection on its
// nodes and functions, which is most of what a letter costs. html/template
// still decides what each value needs where it stands; a plan repeats its
// decisions, and knows only what the templates here use. Whatever it does not
// know, it leaves to the library: making a plan, or executing it, then fails
// with errNoPlan.
type plan struct {
	steps []step
	// fixed is how many bytes of it are the same in each letter.
	fixed int
}

// step writes a piece of a letter.
type step func(b *strings.Builder, s *scene) error

// size is a little more than most letters have.
func (p *plan) size() int { return p.fixed + p.fixed/4 + 512 }

// scene is what a letter is made from: the root of the data, and the dot.
type scene struct{ root, dot reflect.Value }

// term is an expression of a template.
type term func(s *scene) (value, error)

// value is what an expression comes to: a text, unless other is something.
type value struct {
	text  string
	other any
}

var errNoPlan = errors.New("letter: this is left to the template library")

func (p *plan) execute(v *view) (string, error) {
	root := reflect.ValueOf(v).Elem()
	var b strings.Builder
	b.Grow(p.size())
	err := p.each(&b, &scene{root, root})
	return b.String(), err
}

// planText makes the plan of a template that escapes nothing.
func planText(t *texttemplate.Template) (*plan, error) {
	if t == nil || t.Tree == nil {
		return nil, errNoPlan
	}
	find := func(name string) *parse.Tree {
		if other := t.Lookup(name); other != nil {
			return other.Tree
		}
		return nil
	}
	flat, err := flatten(t.Tree.Root, find, false)
	if err != nil {
		return nil, err
	}
	return planList(flat)
}

// planHTML makes the plan of a template that html/template has not escaped yet,
// and leaves it so.
func planHTML(t *htmltemplate.Template) (*plan, error) {
	t, err := t.Clone()
	if err != nil {
		return nil, err
	}
	find := func(name string) *parse.Tree {
		if other := t.Lookup(name); other != nil {
			return other.Tree
		}
		return nil
	}
	// In one piece: what other templates are escaped to cannot be seen.
	flat, err := flatten(t.Tree.Root, find, false)
	if err != nil {
		return nil, err
	}
	const name = "flat"
	whole := t.Tree.Copy()
	whole.Name, whole.Root = name, flat
	made, err := t.AddParseTree(name, whole)
	if err != nil {
		return nil, err
	}
	// Escaping comes before executing, which may fail: there are no data.
	_ = made.Execute(io.Discard, nil)
	return planList(made.Tree.Root)
}

// flatten returns the nodes with those of the templates that they call in place
// of the calls.
func flatten(list *parse.ListNode, find func(string) *parse.Tree, inside bool) (*parse.ListNode, error) {
	if list == nil {
		return nil, nil
	}
	out := list.CopyList()
	out.Nodes = nil
	for _, n := range list.Nodes {
		var err error
		switch n := n.Copy().(type) {
		case *parse.TemplateNode:
			// What is called sees its own "$": the same one only at the root.
			called := find(n.Name)
			if inside || called == nil || n.Pipe == nil || n.Pipe.String() != "." {
				return nil, errNoPlan
			}
			inner, err := flatten(called.Root, find, inside)
			if err != nil {
				return nil, err
			}
			out.Nodes = append(out.Nodes, inner.Nodes...)
			continue
		case *parse.IfNode:
			if n.List, err = flatten(n.List, find, inside); err == nil {
				n.ElseList, err = flatten(n.ElseList, find, inside)
			}
			out.Nodes = append(out.Nodes, n)
		case *parse.WithNode:
			n.List, err = flatten(n.List, find, true)
			out.Nodes = append(out.Nodes, n)
		default:
			out.Nodes = append(out.Nodes, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func planList(list *parse.ListNode) (*plan, error) {
	p := &plan{}
	if list == nil {
		return p, nil
	}
	for _, n := range list.Nodes {
		do, fixed, err := planNode(n)
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, do)
		p.fixed += fixed
	}
	return p, nil
}

// planNode makes the step of a node, and tells how many bytes it always writes.
func planNode(n parse.Node) (do step, fixed int, err error) {
	switch n := n.(type) {
	case *parse.TextNode:
		text := string(n.Text)
		return func(b *strings.Builder, _ *scene) error { b.WriteString(text); return nil }, len(text), nil
	case *parse.ActionNode:
		value, err := planPipe(n.Pipe)
		return func(b *strings.Builder, s *scene) error {
			text, err := textOf(value, s)
			b.WriteString(text)
			return err
		}, 0, err
	case *parse.IfNode:
		return planIf(n)
	case *parse.WithNode:
		// Only for what is never empty.
		list, err := planList(n.List)
		if err != nil || n.ElseList != nil || n.Pipe.String() != ".Letter" {
			return nil, 0, errNoPlan
		}
		letter := fieldOf([]string{"Letter"})
		return func(b *strings.Builder, s *scene) error {
			v, err := letter(s.root)
			if err != nil {
				return err
			}
			return list.each(b, &scene{s.root, v.Elem()})
		}, list.fixed, nil
	}
	return nil, 0, errNoPlan
}

func planIf(n *parse.IfNode) (do step, fixed int, err error) {
	condition, err := planPipe(n.Pipe)
	if err != nil {
		return nil, 0, err
	}
	then, err := planList(n.List)
	if err != nil {
		return nil, 0, err
	}
	otherwise, err := planList(n.ElseList)
	if err != nil {
		return nil, 0, err
	}
	return func(b *strings.Builder, s *scene) error {
		text, err := textOf(condition, s)
		if err != nil {
			return err
		}
		if text != "" {
			return then.each(b, s)
		}
		return otherwise.each(b, s)
	}, max(then.fixed, otherwise.fixed), nil
}

func (p *plan) each(b *strings.Builder, s *scene) error {
	for _, do := range p.steps {
		if err := do(b, s); err != nil {
			return err
		}
	}
	return nil
}

func textOf(of term, s *scene) (string, error) {
	v, err := of(s)
	if err == nil && v.other != nil {
		err = errNoPlan
	}
	return v.text, err
}

func planPipe(p *parse.PipeNode) (term, error) {
	if p == nil || len(p.Decl) > 0 || len(p.Cmds) == 0 {
		return nil, errNoPlan
	}
	var made term
	for _, c := range p.Cmds {
		var err error
		if made, err = planCommand(c, made); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// planCommand makes the term of one command; last, if not nil, is its last
// argument.
func planCommand(c *parse.CommandNode, last term) (term, error) {
	name, isCall := c.Args[0].(*parse.IdentifierNode)
	if !isCall {
		if last != nil || len(c.Args) != 1 {
			return nil, errNoPlan
		}
		return planOperand(c.Args[0])
	}
	var args []term
	constant := last == nil
	for _, a := range c.Args[1:] {
		arg, err := planOperand(a)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		_, isText := a.(*parse.StringNode)
		constant = constant && isText
	}
	if last != nil {
		args = append(args, last)
	}
	made, err := planCall(name.Ident, args)
	if err != nil || !constant {
		return made, err
	}
	always, err := made(nil)
	return func(*scene) (value, error) { return always, nil }, err
}

func planOperand(n parse.Node) (term, error) {
	switch n := n.(type) {
	case *parse.StringNode:
		text := value{text: n.Text}
		return func(*scene) (value, error) { return text, nil }, nil
	case *parse.PipeNode:
		return planPipe(n)
	case *parse.FieldNode:
		find := fieldOf(n.Ident)
		return func(s *scene) (value, error) { return valueOf(find(s.dot)) }, nil
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			find := fieldOf(n.Ident[1:])
			return func(s *scene) (value, error) { return valueOf(find(s.root)) }, nil
		}
	}
	return nil, errNoPlan
}

// fieldOf returns what follows names from a struct to a field.
func fieldOf(names []string) func(reflect.Value) (reflect.Value, error) {
	find := fieldNamed(names[0])
	if len(names) == 1 {
		return find
	}
	rest := fieldOf(names[1:])
	return func(v reflect.Value) (reflect.Value, error) {
		v, err := find(v)
		if err != nil {
			return v, err
		}
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		return rest(v)
	}
}

// fieldNamed returns what finds a field of a struct. It remembers where that
// lies in the type it met last: a letter of one kind has one type.
func fieldNamed(name string) func(reflect.Value) (reflect.Value, error) {
	type place struct {
		in    reflect.Type
		index []int
	}
	var last atomic.Pointer[place]
	return func(v reflect.Value) (reflect.Value, error) {
		if v.Kind() != reflect.Struct {
			return v, errNoPlan
		}
		if p := last.Load(); p != nil && p.in == v.Type() {
			return v.FieldByIndex(p.index), nil
		}
		f, ok := v.Type().FieldByName(name)
		if !ok {
			return v, errNoPlan
		}
		last.Store(&place{v.Type(), f.Index})
		return v.FieldByIndex(f.Index), nil
	}
}

// valueOf returns a field of one of the few types of values.
func valueOf(v reflect.Value, err error) (value, error) {
	if err != nil {
		return value{}, err
	}
	if v.Kind() == reflect.String {
		return value{text: v.String()}, nil
	}
	switch other := v.Interface().(type) {
	case time.Time, secret.Value:
		return value{other: other}, nil
	}
	return value{}, errNoPlan
}

// planCall makes the call of a function, of those of the templates and those
// that html/template puts in.
func planCall(name string, args []term) (term, error) {
	switch name {
	case "printf":
		return planPrintf(args)
	case "when":
		return planOf(args, when)
	case "reveal":
		return planOf(args, secret.Value.Reveal)
	case "inert":
		return planWords(args, inert)
	case "orUnknown":
		return planWords(args, orUnknown)
	case "wrap":
		return planWords(args, wrap)
	case "_html_template_htmlescaper", "_html_template_attrescaper", "_html_template_rcdataescaper":
		return planWords(args, escape)
	case "_html_template_urlfilter":
		return planOnly(args, func(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") })
	case "_html_template_urlnormalizer":
		return planOnly(args, plainURL)
	}
	return nil, errNoPlan
}

// planOf makes the call of a function of one value that is no text.
func planOf[T any](args []term, f func(T) string) (term, error) {
	if len(args) != 1 {
		return nil, errNoPlan
	}
	return func(s *scene) (value, error) {
		v, err := args[0](s)
		if err != nil {
			return value{}, err
		}
		other, ok := v.other.(T)
		if !ok {
			return value{}, errNoPlan
		}
		return value{text: f(other)}, nil
	}, nil
}

// planWords makes the call of a function of a text.
func planWords(args []term, f func(string) string) (term, error) {
	if len(args) != 1 {
		return nil, errNoPlan
	}
	return func(s *scene) (value, error) {
		text, err := textOf(args[0], s)
		if err != nil {
			return value{}, err
		}
		return value{text: f(text)}, nil
	}, nil
}

// planOnly makes the call of a function that changes nothing in texts for which
// same is true; the others are left to the library.
func planOnly(args []term, same func(string) bool) (term, error) {
	if len(args) != 1 {
		return nil, errNoPlan
	}
	return func(s *scene) (value, error) {
		text, err := textOf(args[0], s)
		if err == nil && !same(text) {
			err = errNoPlan
		}
		return value{text: text}, err
	}, nil
}

func planPrintf(args []term) (term, error) {
	if len(args) == 0 {
		return nil, errNoPlan
	}
	return func(s *scene) (value, error) {
		format, err := textOf(args[0], s)
		if err != nil {
			return value{}, err
		}
		values := make([]any, len(args)-1)
		for i, a := range args[1:] {
			if values[i], err = textOf(a, s); err != nil {
				return value{}, err
			}
		}
		return value{text: fmt.Sprintf(format, values...)}, nil
	}, nil
}

// escape does to text what html/template does to it between tags, in a title
// and in an attribute that is quoted.
func escape(s string) string {
	if !strings.ContainsAny(s, "\x00\"&'+<>") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 32)
	for i := range len(s) {
		switch c := s[i]; c {
		case 0:
			b.WriteString("\ufffd")
		case '"':
			b.WriteString("&#34;")
		case '&':
			b.WriteString("&amp;")
		case '\'':
			b.WriteString("&#39;")
		case '+':
			b.WriteString("&#43;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// plainURL tells that a part of a URL has only characters that html/template
// does not encode.
func plainURL(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~:/?#=@[]", c) < 0 {
			return false
		}
	}
	return true
}
