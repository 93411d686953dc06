package peers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stepWait bounds one step in a page.
const stepWait = 30 * time.Second

// Browser is a running Chromium that asks no resolver but for localhost, and
// does not mind the certificates it is shown.
type Browser struct {
	ctx context.Context
}

// Chromium starts a browser that ends with the test.
func Chromium(t testing.TB) *Browser {
	t.Helper()
	path, err := program("chromium", "chromium-browser", "google-chrome")
	if err != nil {
		Missing(t, "Chromium", err)
	}
	// Chromium makes a socket in it, whose address must be short.
	folder, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.UserDataDir(folder), chromedp.Env("TMPDIR="+folder),
		chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// On a busy machine Chromium gives up transitions between pages and
		// tells the console so; who prefers calm has none.
		chromedp.Flag("force-prefers-reduced-motion", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		// Frames stay in their page's process, so that nothing in them goes
		// unseen.
		chromedp.Flag("disable-features", "Translate,IsolateSandboxedIframes,OptimizationHints,MediaRouter"),
		chromedp.Flag("disable-site-isolation-trials", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		end()
		stop()
		// Its helpers may write a moment longer.
		within(stepWait, nil, func() bool { return os.RemoveAll(folder) == nil })
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return &Browser{ctx: ctx}
}

// Tab is a page of somebody's with cookies of its own. It remembers what went
// wrong in it and whom it asked.
type Tab struct {
	// Name is whose tab it is, for messages.
	Name string
	t    testing.TB
	ctx  context.Context

	mu       sync.Mutex
	problems []string
	hosts    []string
}

// Person opens a tab for somebody who was never here. It ends with the test.
func (b *Browser) Person(t testing.TB, name string) *Tab {
	t.Helper()
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	tab := &Tab{Name: name, t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, tab.watch); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	tab.Do(
		chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			if err := target.Call(ctx, "Network.enable", nil, nil); err != nil {
				return err
			}
			return target.Call(ctx, "Log.enable", nil, nil)
		}),
	)
	return tab
}

// For makes t the test that hears of failures from here on, and returns the
// tab.
func (p *Tab) For(t testing.TB) *Tab {
	p.t = t
	return p
}

// watch notes what the browser reports. A page that answers with an error
// status is the test's business, and so is what a script asked for in a form's
// place; a part of a page that does is a problem.
func (p *Tab) watch(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := func(format string, args ...any) { p.problems = append(p.problems, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork && (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) {
			note("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, a := range e.Args {
				words = append(words, strings.Trim(string(a.Value), `"`)+a.Description)
			}
			note("console.%s: %s", e.Type, strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		note("exception: %s (%s:%d)", text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber)
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err == nil && u.Host != "" && !slices.Contains(p.hosts, u.Host) {
			p.hosts = append(p.hosts, u.Host)
		}
	case *network.EventResponseReceived:
		expected := e.Type == network.ResourceTypeDocument || e.Type == network.ResourceTypeFetch && e.Response.Status != 404
		if e.Response.Status >= 400 && !expected {
			note("%s answered %d", e.Response.URL, e.Response.Status)
		}
		if e.Response.Status >= 500 {
			note("%s failed with %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventLoadingFailed:
		if e.BlockedReason != "" {
			note("a request was blocked: %s", e.BlockedReason)
		}
	}
}

// Problems returns what went wrong in the pages so far, and forgets it: console
// errors and warnings, violations of the Content-Security-Policy, exceptions,
// parts that could not be loaded, pages that failed.
func (p *Tab) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.problems
	p.problems = nil
	return found
}

// Hosts returns every "host:port" that was asked for anything.
func (p *Tab) Hosts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.hosts)
}

// Do runs steps one after the other.
func (p *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepWait)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.fatal("%v", err)
	}
}

// fatal ends the test with what the page shows.
func (p *Tab) fatal(format string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	shown, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText.slice(0, 3000) : ""`))
	p.t.Fatalf("%s: %s\nat %s\n%s\n%s", p.Name, fmt.Sprintf(format, args...), at, shown, strings.Join(p.Problems(), "\n"))
}

// Go opens an address and returns the status of the answer.
func (p *Tab) Go(address string) int {
	p.t.Helper()
	return p.loads("opening "+address, chromedp.Navigate(address))
}

// Press clicks something that leads to another page, and returns the status of
// the answer.
func (p *Tab) Press(selector string) int {
	p.t.Helper()
	p.Wait(selector)
	return p.loads("pressing "+selector, chromedp.Click(selector, chromedp.NodeVisible))
}

func (p *Tab) loads(what string, step chromedp.Action[chromedp.Void]) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepWait)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		p.fatal("%s: %v", what, err)
	}
	if answer == nil {
		return 0
	}
	return int(answer.Status)
}

// Wait waits until the page shows something that fits the selector.
func (p *Tab) Wait(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepWait)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitVisible(selector)); err != nil {
		p.fatal("waiting for %s: %v", selector, err)
	}
}

// Click clicks something that leads nowhere.
func (p *Tab) Click(selector string) {
	p.t.Helper()
	p.Wait(selector)
	p.Do(chromedp.Click(selector, chromedp.NodeVisible))
}

// Fill types text into a field, in place of what stands there.
func (p *Tab) Fill(selector, text string) {
	p.t.Helper()
	p.Wait(selector)
	p.Do(
		chromedp.Focus(selector),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void document.querySelector(%q).select()`, selector)),
		chromedp.KeyEvent("\b"),
		chromedp.SendKeys(selector, text),
	)
}

// WaitText waits until the page shows the text somewhere.
func (p *Tab) WaitText(text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepWait)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](fmt.Sprintf(`document.body.innerText.includes(%q)`, text),
		chromedp.WithPollingTimeout(stepWait)))
	if err != nil {
		p.fatal("waiting for the words %q: %v", text, err)
	}
}

// Text returns all the words that the page shows.
func (p *Tab) Text() string {
	p.t.Helper()
	return Eval[string](p, `document.body.innerText`)
}

// Location returns the address that the page has.
func (p *Tab) Location() string {
	p.t.Helper()
	return Eval[string](p, `location.href`)
}

// Look sets what the page is shown on: the theme the system prefers, "light"
// or "dark", and the size of the window.
func (p *Tab) Look(theme string, width, height int64) {
	p.t.Helper()
	p.Do(
		chromedp.EmulateViewport(width, height),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{
					{Name: "prefers-color-scheme", Value: theme},
					{Name: "prefers-reduced-motion", Value: "reduce"},
				},
			})
			return err
		}),
	)
}

// Sideways returns by how many pixels the page is wider than its window.
func (p *Tab) Sideways() int {
	p.t.Helper()
	return Eval[int](p, `Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)`)
}

// Weight returns how many bytes the page and its parts have, as they were before
// any compression.
func (p *Tab) Weight() int {
	p.t.Helper()
	return Eval[int](p, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
		.reduce((sum, e) => sum + e.decodedBodySize, 0)`)
}

// Shift returns how much of the page moved by itself since it was opened, as
// Chromium's cumulative layout shift in thousandths.
func (p *Tab) Shift() int {
	p.t.Helper()
	return Eval[int](p, `new Promise((resolve) => {
		let sum = 0
		new PerformanceObserver((list) => {
			for (const e of list.getEntries()) if (!e.hadRecentInput) sum += e.value
		}).observe({type: "layout-shift", buffered: true})
		requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(Math.round(sum * 1000)), 0)))
	})`)
}

// Picture returns a picture of what the window shows: JPEG of the quality.
func (p *Tab) Picture(quality int64) []byte {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepWait)
	defer cancel()
	got, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatJpeg, Quality: &quality,
	})
	if err != nil {
		p.fatal("taking a picture: %v", err)
	}
	return got.Data
}

// Eval returns the value of a JavaScript expression in the tab; a promise is
// awaited.
func Eval[T any](p *Tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepWait)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fatal("%.200s: %v", expression, err)
	}
	return v
}
