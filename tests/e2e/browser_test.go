package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a real Chromium without a screen, with a home and a profile of its
// own.
type browser struct {
	t    *testing.T
	ctx  context.Context
	kept string // where screenshots are kept

	mu       sync.Mutex
	troubles []string // what pages complained of, and what they did not get
}

// elsewhere is a site that a browser finds at another address than its own, and
// the authority that has signed its certificate, which the browser trusts as if a
// user had imported it.
type elsewhere struct{ ca, site, at string }

// newBrowser starts Chromium, which trusts nothing but what e says; nil for nothing.
func newBrowser(t *testing.T, e *elsewhere) *browser {
	t.Helper()
	home := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME="),
		chromedp.NoSandbox, // Chromium's sandbox is not for root, whom the lab needs
		chromedp.WindowSize(1280, 1080), chromedp.Flag("no-proxy-server", true),
	)
	if e != nil {
		trust(t, home, e.ca)
		options = append(options, chromedp.Flag("host-resolver-rules", "MAP "+e.site+" "+e.at))
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserTimeout)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() }) // it ends before its home goes
	b := &browser{t: t, ctx: ctx, kept: t.ArtifactDir()}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("cannot start Chromium: %v", err)
	}
	return b
}

// browserTimeout is for all that a test does in one browser.
const browserTimeout = 5 * time.Minute

func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium: run make test-deps")
	}
	return path
}

// trust makes Chromium with this home trust the authority.
func trust(t *testing.T, home, ca string) {
	t.Helper()
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", "cloud", "-i", ca}} {
		if out, err := exec.Command("certutil", append([]string{"-d", "sql:" + db}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// listen notes what went wrong in pages.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.troubles = append(b.troubles, "exception: "+exception(e.ExceptionDetails))
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && !strings.HasSuffix(e.Response.URL, "/favicon.ico") { // which noVNC has not got
			b.troubles = append(b.troubles, fmt.Sprintf("%d of %s", e.Response.Status, e.Response.URL))
		}
	case *network.EventLoadingFailed:
		if !e.Canceled {
			b.troubles = append(b.troubles, fmt.Sprintf("%s: %s", e.Type, e.ErrorText))
		}
	}
}

func exception(e *runtime.ExceptionDetails) string {
	if e.Exception == nil || e.Exception.Description == "" {
		return e.Text
	}
	return e.Exception.Description
}

// expectNoTroubles fails the test if pages had some.
func (b *browser) expectNoTroubles() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.troubles {
		b.t.Error(text)
	}
}

// step is one thing that a person does in a browser.
type step = chromedp.Action[chromedp.Void]

// do does one thing after the other. What the page shows is kept if it fails.
func (b *browser) do(what string, steps ...step) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shot("failed")
		b.t.Fatalf("%s: %v\n%s\n%s", what, err, eval[string](b, `location.href + "\n" + document.body.innerText`), strings.Join(b.troubles, "\n"))
	}
}

// stepTimeout is for pages of a cloud that shares two cores with its tests.
const stepTimeout = time.Minute

// eval returns the value of a JavaScript expression in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Errorf("%s: %v", expression, err)
	}
	return value
}

func visible(css string) step { return chromedp.WaitVisible(chromedp.CSS(css)) }

func typed(css, text string) step { return chromedp.SendKeys(chromedp.CSS(css), text) }

// shot keeps a picture of what is shown and returns it.
func (b *browser) shot(name string) image.Image {
	b.t.Helper()
	data, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Errorf("no screenshot: %v", err)
		return image.NewRGBA(image.Rect(0, 0, 0, 0))
	}
	file := filepath.Join(b.kept, name+".png")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%s shows %s", name, file)
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}

// colours counts the colours of a picture.
func colours(p image.Image) int {
	seen := map[color.RGBA64]bool{}
	for y := p.Bounds().Min.Y; y < p.Bounds().Max.Y; y++ {
		for x := p.Bounds().Min.X; x < p.Bounds().Max.X; x++ {
			r, g, b, a := p.At(x, y).RGBA()
			seen[color.RGBA64{uint16(r), uint16(g), uint16(b), uint16(a)}] = true
		}
	}
	return len(seen)
}

// open runs updraft open until the test ends and returns the URL that it prints.
func (c *cloud) open(args ...string) *url.URL {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := c.command(ctx, append([]string{"open"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	var line string
	_, err = fmt.Fscanln(stdout, &line)
	c.t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 0 {
			c.t.Errorf("open %v: %v\n%s", args, err, &stderr)
		}
	})
	at, parseErr := url.Parse(line)
	if err != nil || parseErr != nil || at.Hostname() != "127.0.0.1" {
		c.t.Fatalf("open %v printed %q: %v, %v\n%s", args, line, err, parseErr, &stderr)
	}
	return at
}
