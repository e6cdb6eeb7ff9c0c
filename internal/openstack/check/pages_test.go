package check_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/check"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// loginPage has what Horizon's has of interest.
const loginPage = `<!DOCTYPE html>
<link rel="stylesheet" href="/static/all.css" type="text/css" media="screen">
<link rel="shortcut icon" href="/static/favicon.ico"/>
<script src="/static/all.js"></script><script>inline</script>
<link rel="stylesheet" href="https://fonts.example/none.css">
<form method="POST"><input type="hidden" name="csrfmiddlewaretoken" value="x">
<input type="text" name="username"><input type="password" name="password"></form>
`

// newSite serves Horizon and the consoles' pages, with changes: path → body, or
// a status if it begins with one.
func newSite(t *testing.T, changes map[string]string) string {
	t.Helper()
	s := httptest.NewTLSServer(pageHandler(changes))
	t.Cleanup(s.Close)
	return s.URL + "/"
}

// pageHandler serves the pages with changes.
func pageHandler(changes map[string]string) http.Handler {
	files := map[string]string{
		"/auth/login/": loginPage, "/static/all.css": "a", "/static/all.js": "b", "/static/favicon.ico": "c",
		"/vnc_lite.html": `import RFB from './core/rfb.js'`, "/core/rfb.js": "d",
	}
	maps.Copy(files, changes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case body == "500":
			http.Error(w, "an error of the server", http.StatusInternalServerError)
		case body == "302":
			http.Redirect(w, r, "/auth/login/", http.StatusFound)
		default:
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			io.WriteString(w, body)
		}
	})
}

func TestPagesForPeopleAreJudged(t *testing.T) {
	without := func(text string) string { return strings.Replace(loginPage, text, "", 1) }
	for _, tc := range []struct{ name, path, body, reason string }{
		{"all is well", "/", "", ""},
		{"a login page that fails", "/auth/login/", "500", "/auth/login/ answers 500 Internal Server Error"},
		{"a login page that is not there", "/auth/login/", "302", "/auth/login/ answers 302 Found"},
		{"a login page without a form", "/auth/login/", "welcome", "has no field csrfmiddlewaretoken"},
		{"a form that takes no password", "/auth/login/", without(`name="password"`), "has no field password"},
		{"a page without styles", "/auth/login/", without(`href="/static/all.css"`), "has no styles or no scripts"},
		{"a page without scripts", "/auth/login/", without(`src="/static/all.js"`), "has no styles or no scripts"},
		{"styles that are lost", "/static/all.css", "500", "/static/all.css answers 500"},
		{"scripts that are empty", "/static/all.js", "", "/static/all.js is empty"},
		{"consoles that fail", "/vnc_lite.html", "500", "/vnc_lite.html answers 500"},
		{"consoles that are something else", "/vnc_lite.html", "It works!", "does not use core/rfb.js"},
		{"consoles without their script", "/core/rfb.js", "500", "/core/rfb.js answers 500"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			site := newSite(t, map[string]string{tc.path: tc.body})
			o := kindWith(t, newCloud(t), site, "openstack").New().(*check.OpenStack)
			r := run(t.Context(), o, newPlace(t))
			if tc.reason == "" && r.Status != verify.Passed || tc.reason != "" && (r.Status != verify.Failed || !strings.Contains(r.Reason, tc.reason)) {
				t.Errorf("%s: %s", r.Status, r.Reason)
			}
			for _, trip := range r.Detail.(check.Trips) {
				if tc.reason == "" && trip.What == "login page" && trip.Found != 3 {
					t.Errorf("of the page's three files %d were found", trip.Found)
				}
			}
		})
	}
}
