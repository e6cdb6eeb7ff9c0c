package main

import (
	"strings"
	"testing"
)

func TestMistakesOnTheCommandLineAreSaid(t *testing.T) {
	for line, want := range map[string]string{
		"":                            "say serve or build",
		"push":                        "say serve or build",
		"serve":                       "serve needs",
		"serve -dir /x more":          "serve needs",
		"serve -cert /x -no-such":     "no-such",
		"build -dir /x":               "build needs",
		"build -registry r:1 -ca /ca": "build needs",
		"build -dir /x -registry r:1 -ca /no/such -password-file /x": "/no/such",
	} {
		if err := run(t.Context(), strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}
