package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEveryDependencyHasItsReason: whatever a package imports from another
// module stands in docs/dependencies.md, and nothing else does.
func TestEveryDependencyHasItsReason(t *testing.T) {
	text := read(t, "docs/dependencies.md")
	var listed []string
	for _, m := range regexp.MustCompile("`([a-z.]+\\.[a-z]+/[^`]+)`").FindAllStringSubmatch(text, -1) {
		if m[1] != "tools/go.mod" {
			listed = append(listed, m[1])
		}
	}
	cmd := exec.Command("go", "list", "-f", `{{range .Imports}}{{.}}
{{end}}{{range .TestImports}}{{.}}
{{end}}{{range .XTestImports}}{{.}}
{{end}}`, "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	used := map[string]bool{}
	for path := range strings.FieldsSeq(string(out)) {
		first, _, _ := strings.Cut(path, "/")
		if !strings.Contains(first, ".") || strings.HasPrefix(path, module) {
			continue
		}
		i := slices.IndexFunc(listed, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") })
		if i < 0 {
			t.Errorf("%s is imported and has no line in docs/dependencies.md", path)
			continue
		}
		used[listed[i]] = true
	}
	for _, m := range listed {
		if !used[m] {
			t.Errorf("docs/dependencies.md tells of %s, which nothing imports", m)
		}
	}
}

// TestLinksLeadSomewhere follows the links between the documents.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	if len(pages) < 8 {
		t.Errorf("found only %q", pages)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, p := range pages {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			target, part, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := p
			if target != "" {
				path = filepath.Join(filepath.Dir(p), target)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Errorf("%s: the link to %s leads nowhere", p, m[1])
				continue
			}
			if part != "" && !slices.Contains(anchors(string(content)), part) {
				t.Errorf("%s: %s has no part %q", p, target, part)
			}
		}
	}
}

// anchors returns the names under which the headings of a page are reached.
func anchors(page string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		name := strings.ToLower(strings.ReplaceAll(m[1], " ", "-"))
		out = append(out, regexp.MustCompile(`[^a-z0-9-]`).ReplaceAllString(name, ""))
	}
	return out
}
