// Command summary reads what "go test -json" prints and says what a person
// needs of it: the output of what failed, every skipped test by name, the
// slowest packages. It ends with 1 when a test failed or was skipped.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// event is a line of test2json; see "go doc test2json".
type event struct {
	Action  string
	Package string
	// ImportPath stands in for Package in what the build says.
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

type test struct{ pkg, name string }

func main() {
	output := map[test]*strings.Builder{}
	var failed, skipped []test
	type timing struct {
		pkg     string
		seconds float64
	}
	var timings []timing
	passed := 0

	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text())
			continue
		}
		key := test{cmp.Or(e.Package, e.ImportPath), e.Test}
		switch e.Action {
		case "output", "build-output":
			if output[key] == nil {
				output[key] = &strings.Builder{}
			}
			output[key].WriteString(e.Output)
		case "fail", "build-fail":
			failed = append(failed, key)
		case "skip":
			// A package without tests reports a skip without a test.
			if e.Test != "" {
				skipped = append(skipped, key)
			}
		case "pass":
			if e.Test != "" {
				passed++
			}
		}
		if e.Test == "" && (e.Action == "pass" || e.Action == "fail") {
			timings = append(timings, timing{e.Package, e.Elapsed})
		}
	}

	for _, t := range failed {
		fmt.Printf("--- FAILED %s %s\n", t.pkg, t.name)
		if out := output[t]; out != nil {
			fmt.Print(out.String())
		}
	}
	for _, t := range skipped {
		fmt.Printf("--- SKIPPED %s %s\n", t.pkg, t.name)
		if out := output[t]; out != nil {
			fmt.Print(out.String())
		}
	}
	slices.SortFunc(timings, func(a, b timing) int { return cmp.Compare(b.seconds, a.seconds) })
	fmt.Println("Slowest packages:")
	for _, t := range timings[:min(8, len(timings))] {
		fmt.Printf("  %6.1f s  %s\n", t.seconds, t.pkg)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, len(failed), len(skipped))
	if len(failed)+len(skipped) > 0 {
		os.Exit(1)
	}
}
