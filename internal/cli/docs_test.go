package cli_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/cli"
)

func help(t *testing.T, words ...string) string {
	t.Helper()
	var out, complaints bytes.Buffer
	status := cli.Run(t.Context(), cli.Env{Args: append(words, "--help"), Out: &out, Err: &complaints})
	if status != 0 || complaints.Len() > 0 {
		t.Fatalf("%q --help: status %d, %s", words, status, complaints.String())
	}
	return out.String()
}

// TestEveryCommandIsDocumented: the page about the command line tells of each
// command and each flag that there is.
func TestEveryCommandIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	_, list, _ := strings.Cut(help(t), "Commands:\n")
	commands := regexp.MustCompile(`(?m)^  ([a-z][a-z -]*[a-z])  `).FindAllStringSubmatch(list, -1)
	if len(commands) < 15 {
		t.Fatalf("found %q", commands)
	}
	for _, c := range commands {
		if !strings.Contains(page, "`sealpost "+c[1]) {
			t.Errorf("the page does not tell of sealpost %s", c[1])
		}
		for _, flag := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(help(t, strings.Fields(c[1])...), -1) {
			if !strings.Contains(page, flag) {
				t.Errorf("the page does not tell of %s of sealpost %s", flag, c[1])
			}
		}
	}
}
