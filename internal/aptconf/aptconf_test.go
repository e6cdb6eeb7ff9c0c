package aptconf_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/updraft-cloud/updraft/internal/aptconf"
)

func TestMirrorComesFromAptsOwnConfiguration(t *testing.T) {
	const key = "/usr/share/keyrings/debian-archive-keyring.gpg"
	for _, tc := range []struct {
		rule  string
		files map[string]string
		want  aptconf.Mirror
		fails bool
	}{
		{
			"deb822: the first enabled source of the distribution, with its keyring",
			map[string]string{"sources.list.d/debian.sources": `Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

# a comment
Types: deb deb-src
URIs: http://deb.example/debian/
Suites: bookworm
  bookworm-updates
Components: main contrib
Signed-By: ` + key + `

Types: deb
URIs: https://deb.example/security
Suites: bookworm-security
Components: main
`, "sources.list.d/other.list": "deb https://other.example/apt stable main\n"},
			aptconf.Mirror{URI: "http://deb.example/debian", Security: "https://deb.example/security", Keyring: key}, false,
		},
		{
			"one-line style, with options and comments",
			map[string]string{"sources.list": "# deb http://no.example/debian bookworm main\ndeb-src http://src.example/debian bookworm main\n" +
				"deb cdrom:[Debian]/ bookworm main\ndeb [arch=amd64 signed-by=" + key + "] http://one.example/debian bookworm main # why\n"},
			aptconf.Mirror{URI: "http://one.example/debian", Keyring: key}, false,
		},
		{
			"a source of the wanted suite serves, too",
			map[string]string{"sources.list": "deb http://t.example/debian trixie main\n"},
			aptconf.Mirror{URI: "http://t.example/debian"}, false,
		},
		{
			"a repository of something else does not",
			map[string]string{"sources.list.d/node.list": "deb https://node.example/node nodistro main\n"},
			aptconf.Mirror{}, true,
		},
		{"no configuration at all", nil, aptconf.Mirror{}, true},
	} {
		etc := t.TempDir()
		for name, text := range tc.files {
			write(t, filepath.Join(etc, name), text)
		}
		got, err := aptconf.FindMirror(etc, "trixie", "bookworm")
		if (err != nil) != tc.fails || !tc.fails && got != tc.want {
			t.Errorf("%s: %+v, %v", tc.rule, got, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
