package house_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFunction   = 100
	maxPackage    = 3000
	maxWebPackage = 6000
)

// sources calls f for every Go file of p that is not a test.
func sources(t *testing.T, p pkg, f func(fset *token.FileSet, file *ast.File, text []byte)) {
	t.Helper()
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		f(fset, file, text)
	}
}

// tooLong names the functions of file with more than maxFunction lines.
func tooLong(fset *token.FileSet, file *ast.File) []string {
	var long []string
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from, to := fset.Position(fn.Pos()), fset.Position(fn.End())
		if n := to.Line - from.Line + 1; n > maxFunction {
			long = append(long, fmt.Sprintf("%s: %s has %d lines", from, fn.Name.Name, n))
		}
	}
	return long
}

func TestFunctionsAndPackagesKeepTheirMeasure(t *testing.T) {
	for _, p := range packages(t) {
		lines := 0
		sources(t, p, func(fset *token.FileSet, file *ast.File, text []byte) {
			lines += bytes.Count(text, []byte("\n"))
			for _, l := range tooLong(fset, file) {
				t.Errorf("%s, more than %d", l, maxFunction)
			}
		})
		limit := maxPackage
		if p.ImportPath == "internal/web" {
			limit = maxWebPackage
		}
		if lines > limit {
			t.Errorf("%s has %d lines, more than %d: split it along a real seam", p.ImportPath, lines, limit)
		}
	}
}

func TestTheMeasureFindsALongFunction(t *testing.T) {
	fset := token.NewFileSet()
	src := "package p\nfunc f() {\n" + strings.Repeat("_ = 1\n", maxFunction) + "}\n"
	file, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(tooLong(fset, file)) != 1 {
		t.Error("a function of 102 lines was not found")
	}
}

// calls are functions that only some rooms may call.
var calls = []struct{ call, where, reason string }{
	{"os.Getenv", "internal/failpoint", "the environment is read by config"},
	{"os.LookupEnv", "internal/failpoint", "the environment is read by config"},
	{"os.Environ", "cmd/sealpost", "the environment is handed in"},
	{"context.Background", "cmd/sealpost internal/app", "a context comes from the caller"},
	{"context.TODO", "", "a context comes from the caller"},
	{"time.Sleep", "", "wait for a signal or a timer that can be stopped"},
	{"os.Exit", "cmd/sealpost", "only main ends the process"},
}

func TestForbiddenCalls(t *testing.T) {
	for _, p := range packages(t) {
		if rig(p.ImportPath) {
			continue
		}
		sources(t, p, func(fset *token.FileSet, file *ast.File, _ []byte) {
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if !ok {
					return true
				}
				name := x.Name + "." + sel.Sel.Name
				for _, c := range calls {
					if c.call == name && !slices.Contains(strings.Fields(c.where), p.ImportPath) {
						t.Errorf("%s: %s: %s", fset.Position(n.Pos()), name, c.reason)
					}
				}
				return true
			})
		})
	}
}

// Unfinished work is not left behind in words.
func TestNoUnfinishedWords(t *testing.T) {
	words := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}
	for _, p := range packages(t) {
		sources(t, p, func(_ *token.FileSet, file *ast.File, _ []byte) {
			for _, group := range file.Comments {
				for _, w := range words {
					if strings.Contains(group.Text(), w) {
						t.Errorf("%s: a comment says %s", p.ImportPath, w)
					}
				}
			}
		})
	}
}

// Package variables are errors, tables that nobody changes, or nothing.
func TestNoInit(t *testing.T) {
	for _, p := range packages(t) {
		sources(t, p, func(fset *token.FileSet, file *ast.File, _ []byte) {
			for _, d := range file.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init hides work from whoever reads main", fset.Position(fn.Pos()))
				}
			}
		})
	}
}
