package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/chromium"
)

// windowWidth and windowHeight are those of an operator's browser, in CSS pixels.
const windowWidth, windowHeight = 1400, 900

// picturesWanted is the environment variable that has the pictures of the manual taken anew.
const picturesWanted = "TALON_SCREENSHOTS"

// browser is an operator who looks at the Web UI.
type browser struct {
	s        *stack
	page     context.Context // of the one tab
	pictures string          // the directory of the screenshots
}

// newBrowser starts a browser that ends with the test, or skips the test with the reason why there is none.
func (s *stack) newBrowser() *browser {
	s.t.Helper()
	dir := filepath.Join(s.dir, "browser")
	require.NoError(s.t, os.MkdirAll(dir, 0o755))
	found, err := chromium.Find(dir)
	if err != nil {
		s.t.Skip(err)
	}
	s.t.Log(found.Versions())
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(found.Path), chromedp.Env(found.Env...), chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.NoSandbox, // which root cannot have; the pages are those of our own server
		chromedp.WindowSize(windowWidth, windowHeight),
	)
	allocated, end := chromedp.NewExecAllocator(context.WithoutCancel(s.t.Context()), options...)
	page, closePage := chromedp.NewContext(allocated)
	s.t.Cleanup(func() {
		assert.NoError(s.t, chromedp.Cancel(page))
		closePage()
		end()
	})
	b := &browser{s: s, page: page, pictures: dir}
	if os.Getenv(picturesWanted) != "" {
		b.pictures = filepath.Join(repository, "docs", "images")
		require.NoError(s.t, os.MkdirAll(b.pictures, 0o755))
	}
	// The browser lives as long as the context of the call that starts it.
	require.NoError(s.t, chromedp.Do(page, chromedp.EmulateViewport(windowWidth, windowHeight)))
	return b
}

// do has the browser do something, within the time that a test waits for anything.
func do[T any](b *browser, action chromedp.Action[T]) T {
	b.s.t.Helper()
	ctx, cancel := context.WithTimeout(b.page, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, action)
	require.NoError(b.s.t, err)
	return answer
}

// open goes to a page of the namespace, such as "workflows".
func (b *browser) open(path string) {
	b.s.t.Helper()
	do(b, chromedp.Navigate(b.s.server.UIAddress()+"/namespaces/"+b.s.namespace+"/"+path))
}

// openList goes to the list of the executions that a query finds.
func (b *browser) openList(query string) {
	b.s.t.Helper()
	b.open("workflows?query=" + url.QueryEscape(query))
}

// openWorkflow goes to a view of the newest execution with this workflow ID: "history", "pending-activities", "user-metadata", ….
func (b *browser) openWorkflow(id, view string) {
	b.s.t.Helper()
	description, err := b.s.temporal.DescribeWorkflow(b.s.t.Context(), id, "")
	require.NoError(b.s.t, err)
	b.open("workflows/" + url.PathEscape(id) + "/" + description.WorkflowExecution.RunID + "/" + view)
}

// visible is a script for what can be read on the page. Details are in frames, which may be on their way yet.
const visible = `[document, ...[...document.querySelectorAll('iframe')].map(f => f.contentDocument)]
	.map(d => d && d.body ? d.body.innerText : '').join('\n')`

// sees waits until each of the texts can be read on the page.
func (b *browser) sees(texts ...string) {
	b.s.t.Helper()
	var missing []string
	page := b.until(visible, func(page string) bool {
		missing = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(page, text) })
		return len(missing) == 0
	})
	if len(missing) > 0 {
		b.capture(b.s.t.ArtifactDir(), "missing")
		require.FailNow(b.s.t, "not on the page: "+strings.Join(missing, ", "), "%s", page)
	}
}

// setColumns chooses the columns of the lists, as the wheel below them does.
func (b *browser) setColumns(labels ...string) {
	b.s.t.Helper()
	columns := make([]map[string]string, len(labels))
	for i, label := range labels {
		columns[i] = map[string]string{"label": label}
	}
	value, err := json.Marshal(map[string]any{b.s.namespace: columns})
	require.NoError(b.s.t, err)
	b.open("workflows") // the settings are those of a site
	do(b, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("localStorage.setItem('namespace-workflow-table-columns', %q)", value)))
}

// lists waits until the list has exactly these executions in it, in any order.
func (b *browser) lists(ids ...string) {
	b.s.t.Helper()
	slices.Sort(ids)
	want := strings.Join(ids, "\n")
	// Each row has two links to the execution: one with its workflow ID as the text, one with its run ID.
	page := b.until(`[...document.querySelectorAll('table a[href*="/workflows/"]')].map(a => a.innerText).filter(t => t.includes('/')).sort().join('\n')`,
		func(found string) bool { return found == want })
	require.Equal(b.s.t, want, page, "the list")
}

// until evaluates a script until its answer is as wanted, or patience ends. It returns the last answer.
func (b *browser) until(script string, wanted func(string) bool) (answer string) {
	b.s.t.Helper()
	loaded := time.Now()
	for deadline := time.Now().Add(patience); ; time.Sleep(glance) {
		answer = do(b, chromedp.Evaluate[string](script))
		if wanted(answer) || time.Now().After(deadline) {
			return answer
		}
		if time.Since(loaded) > freshness { // pages do not renew themselves, and the list may know of a change later than the workflow
			do(b, chromedp.Reload())
			loaded = time.Now()
		}
	}
}

// freshness is how long a page is looked at before it is loaded anew.
const freshness = 10 * time.Second

// untidy is a script for what is wrong with details that are shown: Markdown that is not drawn, tags that Markdown does not make, and text below
// the end of its frame. Its answer is a line for each.
const untidy = `[...document.querySelectorAll('iframe')].flatMap(f => {
	const body = f.contentDocument && f.contentDocument.body, wrong = [];
	if (!body) return ['not there yet'];
	const raw = body.innerText.match(/\*\*|\|---|&[a-z]+;/);
	if (raw) wrong.push('Markdown: ' + body.innerText);
	for (const tag of body.querySelectorAll('script, style, img, iframe, a, b, i, u, form, input')) wrong.push('tag: ' + tag.outerHTML);
	const walk = f.contentDocument.createTreeWalker(body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const text = walk.currentNode.textContent.trim();
		if (!text || walk.currentNode.parentElement.closest('script, style')) continue;
		const range = f.contentDocument.createRange();
		range.selectNodeContents(walk.currentNode);
		const box = range.getBoundingClientRect();
		if (box.bottom > f.clientHeight || box.right > f.clientWidth) wrong.push('cut off: ' + text);
	}
	return wrong;
}).join('\n')`

// requireTidy demands that the details on the page are drawn as they were meant, and whole. They must have been seen before.
func (b *browser) requireTidy() {
	b.s.t.Helper()
	wrong := b.until(untidy, func(wrong string) bool { return wrong == "" }) // a frame gets its height after its text
	if wrong != "" {
		b.capture(b.s.t.ArtifactDir(), "untidy")
		require.Fail(b.s.t, "details are not drawn as they should be", wrong)
	}
}

// picture keeps what the window shows for the manual.
func (b *browser) picture(name string) {
	b.s.t.Helper()
	b.capture(b.pictures, name)
}

// capture keeps what the window shows as a PNG.
func (b *browser) capture(dir, name string) {
	b.s.t.Helper()
	png := do(b, chromedp.CaptureScreenshot())
	require.NoError(b.s.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}
