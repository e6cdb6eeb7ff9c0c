package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/backup"
)

// large is more than one part.
var large = strings.Repeat("0123456789abcdef", 600_000)

func contents() map[string]string {
	return map[string]string{"a.txt": "small", "empty": "", "deep/large.bin": large, "z": "last"}
}

var order = []string{"a.txt", "empty", "deep/large.bin", "z"}

func write(t *testing.T) ([]byte, backup.Manifest) {
	t.Helper()
	var b bytes.Buffer
	w := backup.NewWriter(&b, backup.Manifest{Cloud: "test", Created: time.Unix(1_795_000_000, 0).UTC(), Release: "epoxy"})
	for _, name := range order {
		if err := w.Add(name, "host", func(w io.Writer) error { _, err := io.WriteString(w, contents()[name]); return err }); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

func TestWhatWasAddedIsRead(t *testing.T) {
	data, written := write(t)
	got := map[string]string{}
	m, err := backup.Walk(bytes.NewReader(data), func(name string, r io.Reader) error {
		text, err := io.ReadAll(r)
		got[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, m); diff != "" {
		t.Errorf("manifest (-written +read):\n%s", diff)
	}
	for name, want := range contents() {
		if got[name] != want {
			t.Errorf("%s has %d bytes, want %d", name, len(got[name]), len(want))
		}
	}
}

func TestContentsMayBeLeftUnread(t *testing.T) {
	data, _ := write(t)
	if _, err := backup.Walk(bytes.NewReader(data), func(string, io.Reader) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestAnArchiveThatIsNotWholeIsRefused(t *testing.T) {
	data, _ := write(t)
	nothing := func(string, io.Reader) error { return nil }
	for n := 0; n < len(data)-1024; n += len(data) / 97 {
		if _, err := backup.Walk(bytes.NewReader(data[:n]), nothing); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(data))
		}
	}
	for _, c := range []struct{ name, from, to string }{
		{"another byte in a content", "small", "smoll"},
		{"another sum in the manifest", `"sha256": "`, `"sha256": "0`},
		{"a content of another name", "a.txt/0000", "b.txt/0000"},
		{"a part that is missing", "large.bin/0001", "large.bin/0002"},
		{"a format that is not known", `"version": 1`, `"version": 7`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !bytes.Contains(data, []byte(c.from)) {
				t.Fatalf("there is no %q", c.from)
			}
			bad := bytes.Replace(data, []byte(c.from), []byte(c.to), 1)
			if _, err := backup.Walk(bytes.NewReader(bad), nothing); err == nil {
				t.Error("it was taken")
			}
		})
	}
	more := append(bytes.Clone(data[:len(data)-1024]), data...)
	if _, err := backup.Walk(bytes.NewReader(more), nothing); err == nil {
		t.Error("something after the manifest was taken")
	}
}

func TestAFailureEndsIt(t *testing.T) {
	data, _ := write(t)
	stop := errors.New("stop")
	if _, err := backup.Walk(bytes.NewReader(data), func(string, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("reading: %v", err)
	}
	w := backup.NewWriter(io.Discard, backup.Manifest{})
	if err := w.Add("x", "", func(io.Writer) error { return stop }); !errors.Is(err, stop) || !strings.Contains(err.Error(), "cannot back up x") {
		t.Errorf("writing: %v", err)
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // to memory
	_ = w.Close()
	return b.String()
}

func archive() string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "x", Size: 1000, Mode: 0o600}) // to memory
	_, _ = w.Write(make([]byte, 1000))
	_ = w.Close()
	return b.String()
}

func TestCheck(t *testing.T) {
	long := "INSERT INTO t VALUES (0x" + strings.Repeat("00", 2<<20) + ");\n"
	for _, c := range []struct {
		name, content, text string
		whole               bool
	}{
		{"a dump with its end", "mariadb.sql.gz", zipped(long + "-- Dump completed on 2026-11-21\n\n"), true},
		{"a dump that ends in its middle", "mariadb.sql.gz", zipped(long), false},
		{"a dump cut off in its compression", "mariadb.sql.gz", zipped(long + "-- Dump completed")[:100], false},
		{"a dump that is none", "mariadb.sql.gz", "CREATE TABLE", false},
		{"data that look like the end are not", "mariadb.sql.gz", zipped("-- Dump completed\nINSERT INTO\n"), false},
		{"a database of OVSDB", "ovn-nb.db", "OVSDB JSON 1 2\n{}", true},
		{"an empty one", "ovn-nb.db", "", false},
		{"an archive", "glance-images.tar", archive(), true},
		{"an archive cut off", "glance-images.tar", archive()[:700], false},
		{"anything else", "state/provider", "lab\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := backup.Check(c.content, strings.NewReader(c.text)); (err == nil) != c.whole {
				t.Errorf("got %v", err)
			}
		})
	}
}

func ExampleWriter() {
	var b bytes.Buffer
	w := backup.NewWriter(&b, backup.Manifest{Cloud: "demo"})
	_ = w.Add("greeting", "ctl1", func(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err })
	_, _ = w.Close()
	m, err := backup.Walk(&b, func(name string, r io.Reader) error {
		text, err := io.ReadAll(r)
		fmt.Printf("%s: %s\n", name, text)
		return err
	})
	fmt.Println(m.Cloud, m.Contents[0].Size, err)
	// Output:
	// greeting: hello
	// demo 5 <nil>
}
