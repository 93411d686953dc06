package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// axeVersion is the version of axe-core that judges the pages.
const axeVersion = "4.14.1"

// axeSource returns axe-core, installed with npm into the user's cache by the
// first caller that finds none there.
var axeSource = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "sealpost-tests", "axe-core-"+axeVersion)
	file := filepath.Join(folder, "node_modules", "axe-core", "axe.min.js")
	if source, err := os.ReadFile(file); err == nil {
		return string(source), nil
	}
	npm, err := program("npm")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", err
	}
	// It appears under its name when it is whole.
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	install := exec.Command(npm, "install", "--prefix", fresh, "--no-save", "--no-audit", "--no-fund",
		"--ignore-scripts", "axe-core@"+axeVersion)
	install.Dir = fresh
	if said, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing axe-core: %w: %s", err, said)
	}
	source, err := os.ReadFile(filepath.Join(fresh, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		return "", err
	}
	if err := os.Rename(fresh, folder); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return string(source), nil
})

// Accessible returns what axe-core finds wrong with the page, one line each. It
// asks for WCAG 2.2 up to AA and for good practice.
func (p *Tab) Accessible(t testing.TB) []string {
	t.Helper()
	source, err := axeSource()
	if err != nil {
		Missing(t, "axe-core", err)
	}
	if !Eval[bool](p, `typeof axe === "object"`) {
		Eval[bool](p, source+"\n;true")
	}
	said := Eval[string](p, `axe.run(document, {resultTypes: ["violations"], iframes: false}).then(
		r => JSON.stringify(r.violations.flatMap(v => v.nodes.map(n => ({
			Rule: v.id, Help: v.help, Where: n.target.join(" "), HTML: n.html.slice(0, 200), Why: n.failureSummary,
		})))))`)
	var found []struct{ Rule, Help, Where, HTML, Why string }
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		t.Fatalf("axe-core's answer: %v", err)
	}
	var lines []string
	for _, f := range found {
		lines = append(lines, fmt.Sprintf("%s: %s: %s: %s: %s", f.Rule, f.Help, f.Where, f.HTML,
			strings.Join(strings.Fields(f.Why), " ")))
	}
	return lines
}
