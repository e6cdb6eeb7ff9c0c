package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// master is a master key of a test.
func master(n byte) string {
	return base64.URLEncoding.EncodeToString(slices.Repeat([]byte{n}, keySize))
}

// repository is one of tokens that are valid for 49 hours, in generation g of its
// master keys: each generation uses the key that was the next one before.
func repository(t *testing.T, g byte) Repository {
	t.Helper()
	r := Repository{
		Name: "tokens", Dir: filepath.Join(t.TempDir(), "keys"), Group: os.Getgid(),
		Period: 86400, Keep: 49 * 3600, Masters: []string{master(g + 2), master(g), master(g + 1)},
	}
	if err := os.Mkdir(r.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return r
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// golden is the primary key of the first generation then.
const golden = "R-9PlwMNe6pgPgBpameFKYfOevDylrZGQ5a9V9F5RMI="

func decrypts(keys Keys, key string) bool { return slices.Contains(keys.All, key) }

func at(t *testing.T, r Repository, now time.Time) Keys {
	t.Helper()
	keys, err := r.Keys(now)
	if err != nil {
		t.Fatal(err)
	}
	if len(keys.All) != r.Size()-1 {
		t.Fatalf("there are %d keys, and Size says %d", len(keys.All), r.Size())
	}
	return keys
}

func TestWhatOneControllerMadeEveryOtherCanReadForAsLongAsItIsValid(t *testing.T) {
	valid := 49 * time.Hour
	for _, c := range []struct {
		rule         string
		maker, judge byte          // generations of master keys
		skew         time.Duration // of the judge's clock
	}{
		{"same clocks", 1, 1, 0},
		{"the judge is slow by nearly a period", 1, 1, -23 * time.Hour},
		{"the judge is fast by less than the grace", 1, 1, Grace - time.Second},
		{"the judge has other master keys already", 1, 2, 0},
		{"the maker has other master keys already", 2, 1, 0},
		{"the maker has other master keys, and the judge is slow", 2, 1, -23 * time.Hour},
	} {
		t.Run(c.rule, func(t *testing.T) {
			maker, judge := repository(t, c.maker), repository(t, c.judge)
			for made := noon; made.Before(noon.AddDate(0, 0, 2)); made = made.Add(12 * time.Minute) {
				key := at(t, maker, made).Primary
				for _, later := range []time.Duration{0, valid / 2, valid} {
					if !decrypts(at(t, judge, made.Add(later+c.skew)), key) {
						t.Fatalf("what was made at %s cannot be read %s later", made, later)
					}
				}
			}
		})
	}
}

func TestAKeyIsForgottenInTheEnd(t *testing.T) {
	r := repository(t, 1)
	for i, key := range at(t, r, noon).All {
		if decrypts(at(t, r, noon.AddDate(0, 0, 6)), key) {
			t.Errorf("key %d is there six days later", i)
		}
	}
}

func TestRepositoriesOfOneMasterKeyHaveNothingInCommon(t *testing.T) {
	a := repository(t, 1)
	b := a
	b.Name = "credentials"
	for _, key := range at(t, a, noon).All {
		if decrypts(at(t, b, noon), key) {
			t.Error("a key is in both")
		}
	}
}

func TestKeysStayTheSameBetweenVersions(t *testing.T) {
	// A cloud whose controllers have two versions of updraft-keys must go on.
	if got, want := at(t, repository(t, 1), noon).Primary, golden; got != want {
		t.Errorf("the primary key is %s, want %s", got, want)
	}
}

func TestMasterKeysThatAreNoneAreNotUsedAndNotQuoted(t *testing.T) {
	for _, text := range []string{"", "PLACEHOLDER", master(1)[:40], master(1) + master(2)} {
		r := repository(t, 1)
		r.Masters[1] = text
		_, err := r.Keys(noon)
		if err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestARotationMovesNoKeyThatCounts(t *testing.T) {
	r := repository(t, 1)
	before := map[string]string{}
	for day := range 10 {
		now := noon.AddDate(0, 0, day)
		if r.Check(now) == nil {
			t.Fatalf("day %d: nobody misses the rotation", day)
		}
		if changed, err := r.Apply(now); !changed || err != nil {
			t.Fatalf("day %d: %v, %v", day, changed, err)
		}
		if changed, err := r.Apply(now); changed || err != nil {
			t.Errorf("day %d: a second look: %v, %v", day, changed, err)
		}
		if err := r.Check(now); err != nil {
			t.Error(err)
		}
		after, want := files(t, r.Dir), at(t, r, now)
		if len(after) != r.Size() || highest(after) != want.Primary {
			t.Errorf("day %d: %d files, want %d, the highest being the primary one", day, len(after), r.Size())
		}
		for name, key := range before {
			if name != primaryFile && decrypts(want, key) && after[name] != key {
				t.Errorf("day %d: a key that counts is no longer in %s", day, name)
			}
		}
		before = after
	}
	if left, err := os.ReadDir(filepath.Dir(r.Dir)); err != nil || len(left) != 1 {
		t.Errorf("beside the directory: %v, %v", left, err)
	}
}

// files are the files of a directory with what they hold.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(data)
	}
	return out
}

// highest returns what Keystone encrypts with.
func highest(files map[string]string) string {
	most := -1
	for name := range files {
		if n, err := strconv.Atoi(name); err == nil {
			most = max(most, n)
		}
	}
	return files[strconv.Itoa(most)]
}

func TestACheckKnowsWhatIsWrong(t *testing.T) {
	for rule, spoil := range map[string]func(dir, key string) error{
		"a key is gone":     func(dir, key string) error { return os.Remove(filepath.Join(dir, key)) },
		"a key is empty":    func(dir, key string) error { return os.Truncate(filepath.Join(dir, key), 0) },
		"a key is for all":  func(dir, key string) error { return os.Chmod(filepath.Join(dir, key), 0o644) },
		"a key is a link":   link,
		"there is one more": func(dir, _ string) error { return os.WriteFile(filepath.Join(dir, "2000000"), []byte("x"), 0o600) },
		"a key is another's": func(dir, key string) error {
			return errors.Join(os.Remove(filepath.Join(dir, key)), os.Link(filepath.Join(dir, "2"), filepath.Join(dir, key)))
		},
		"two names, one key":    func(dir, key string) error { return os.Link(filepath.Join(dir, key), filepath.Join(dir, "0"+key)) },
		"there is no directory": func(dir, _ string) error { return os.RemoveAll(dir) },
	} {
		t.Run(rule, func(t *testing.T) {
			r := repository(t, 1)
			if _, err := r.Apply(noon); err != nil {
				t.Fatal(err)
			}
			if err := spoil(r.Dir, "3"); err != nil {
				t.Fatal(err)
			}
			if r.Check(noon) == nil {
				t.Error("the check is content")
			}
			if _, err := r.Apply(noon); errors.Is(err, fs.ErrNotExist) {
				return // the directory is somebody else's to make
			} else if err != nil {
				t.Fatal(err)
			}
			if err := r.Check(noon); err != nil {
				t.Errorf("it is not mended: %v", err)
			}
		})
	}
}

func link(dir, key string) error {
	path := filepath.Join(dir, key)
	return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path))
}

func TestATimerThatIsLateIsNoDriftForAWhile(t *testing.T) {
	r := repository(t, 1)
	midnight := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if _, err := r.Apply(midnight.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	for late, fine := range map[time.Duration]bool{time.Second: true, Grace - time.Second: true, Grace: false, 30 * 24 * time.Hour: false} {
		if err := r.Check(midnight.Add(late)); (err == nil) != fine {
			t.Errorf("%s late: %v", late, err)
		}
	}
}

func TestAFileThatUpdraftDidNotWriteIsRefusedWithoutQuotingIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	for _, text := range []string{"", `{"repositories": [{"secret": "hunter2"}]}`, `{"repositories": "hunter2"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(path); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	want := Config{[]Repository{repository(t, 1)}}
	if err := os.WriteFile(path, []byte(want.Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
	got, f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
