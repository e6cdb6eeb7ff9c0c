package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// dashboard uses Horizon as a person does who has typed updraft open horizon: logs
// in, looks at the servers, and at the screen of one.
func dashboard(t *testing.T, c *cloud, server string) {
	b, at := newBrowser(t, nil), c.open("horizon").String()
	b.do("the login page", chromedp.Navigate(at), visible("input[name=password]"))
	if n := colours(b.shot("login")); n < 20 {
		t.Errorf("the login page has %d colours: it is empty", n)
	}
	password := strings.TrimSpace(c.run("secrets", "show", "keystone-admin").stdout)
	b.do("login", typed("input[name=username]", "admin"), typed("input[name=password]", password+kb.Enter), visible("#main_content h1"))
	if text := eval[string](b, `document.body.innerText`); !strings.Contains(text, "Limit Summary") {
		t.Errorf("this is no overview:\n%s", text)
	}
	b.shot("overview")
	b.do("servers", chromedp.Navigate(at+"project/instances/"), visible("#instances tbody tr"))
	if n := colours(b.shot("servers")); n < 50 {
		t.Errorf("the list of servers has %d colours: there is no logo", n)
	}
	if text := eval[string](b, `document.querySelector("#instances").innerText`); !strings.Contains(text, server) || !strings.Contains(text, "Active") {
		t.Errorf("the server is not in the list:\n%s", text)
	}
	// Only style sheets, which are files of their own, put the navigation there.
	if place := eval[string](b, `getComputedStyle(document.querySelector("#sidebar")).position`); place != "fixed" {
		t.Errorf("the navigation is %q: the page has no styles", place)
	}
	link := eval[string](b, `document.querySelector("#instances a[href*='/project/instances/']").href`)
	b.do("a console in a page", chromedp.Navigate(link+"?tab=instance_details__console"), visible("iframe#console_embed"))
	frame, err := chromedp.Run(b.ctx, chromedp.Nodes(chromedp.CSS("iframe#console_embed")))
	if err != nil {
		t.Fatal(err)
	}
	in := chromedp.WithPollingInFrame(frame[0])
	b.do("its connection", connected(in), drawn(in))
	b.shot("console-in-horizon")
	b.expectNoTroubles()
}

// console looks at a server's screen alone.
func console(t *testing.T, c *cloud, server string) {
	b, at := newBrowser(t, nil), c.open("console", server).String()
	b.do("a console", chromedp.Navigate(at), visible("#screen canvas"), connected(), drawn())
	b.shot("console")
	b.expectNoTroubles()
}

// connected waits for noVNC to say so.
func connected(options ...chromedp.PollOption) step {
	return chromedp.Poll[chromedp.Void](`document.getElementById("status")?.textContent.startsWith("Connected")`, options...)
}

// drawn waits for noVNC's canvas to show something bright, such as the firmware's
// text: as long as nothing has come, all of it is black.
func drawn(options ...chromedp.PollOption) step {
	return chromedp.Poll[chromedp.Void](`(() => {
		const c = document.querySelector("#screen canvas");
		return c?.width > 0 && c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v, i) => i % 4 < 3 && v > 64);
	})()`, options...)
}

// authority looks at the dashboard where it is, with a browser that has imported
// the authority's certificate from the hand-off.
func authority(t *testing.T, c *cloud) {
	dir := strings.TrimSpace(c.run("handoff").stdout)
	const vip = "10.89.0.10:443"
	via := c.open("https://" + vip)
	b := newBrowser(t, &elsewhere{ca: filepath.Join(dir, "ca.pem"), site: vip, at: via.Host})
	b.do("the login page", chromedp.Navigate("https://"+vip), visible("input[name=password]"))
	b.expectNoTroubles()
}
