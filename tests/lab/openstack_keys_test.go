package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/keystone"
	"github.com/updraft-cloud/updraft/internal/openstack/keystone/keyring"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// repositories are those of the keys that the service gives a controller, in the
// box's place of it.
func (b *box) repositories(host string) []keyring.Repository {
	b.t.Helper()
	find[*file.Resource](b.t, b.lay(stacktest.Large, host, keystone.Service()), stack.ConfigDir("keystone")+"/keys.json")
	config, f, err := keyring.Open(b.etc(stack.ConfigDir("keystone") + "/keys.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	for i, r := range config.Repositories {
		config.Repositories[i].Dir = b.etc(filepath.Join(stack.ConfigRoot, host, filepath.Base(r.Dir)))
		mk(b.t, config.Repositories[i].Dir)
		if err := errors.Join(os.Chmod(config.Repositories[i].Dir, 0o750), os.Chown(config.Repositories[i].Dir, 0, r.Group)); err != nil {
			b.t.Fatal(err)
		}
	}
	return config.Repositories
}

// rotate brings a controller's keys to a time.
func rotate(t *testing.T, all []keyring.Repository, now time.Time) {
	t.Helper()
	for _, r := range all {
		if _, err := r.Apply(now); err != nil {
			t.Fatal(err)
		}
	}
}

// exchange has Keystone's own code read the keys of every controller: what each makes
// has to be read by each of the others.
const exchange = `
import sys
from cryptography import fernet
from keystone.common import fernet_utils
import keystone.conf

keystone.conf.configure()

def crypto(host, kind):
    keys = fernet_utils.FernetUtils(f"/etc/updraft/{host}/{kind}-keys", 3, kind).load_keys()
    return fernet.MultiFernet([fernet.Fernet(k) for k in keys])

bad = 0
for kind in ("fernet", "credential"):
    for maker in sys.argv[1:]:
        made = crypto(maker, kind).encrypt(b"secret")
        for judge in sys.argv[1:]:
            try:
                crypto(judge, kind).decrypt(made)
            except fernet.InvalidToken:
                print(f"{judge} cannot read what {maker} made ({kind})")
                bad = 1
sys.exit(bad)
`

func (b *box) exchange(hosts ...string) error {
	b.t.Helper()
	b.write(stack.ConfigRoot+"/exchange.py", exchange)
	out, err := b.run("-euc", "podman run --user=keystone box/openstack:x python3 /etc/updraft/exchange.py "+strings.Join(hosts, " "))
	if err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(out))
	}
	return nil
}

func TestKeystonesOnThreeControllersReadEachOthersTokensAcrossRotations(t *testing.T) {
	b := newBox(t, "openstack")
	hosts := []string{"controller1", "controller2", "controller3"}
	keys := map[string][]keyring.Repository{}
	for _, h := range hosts {
		keys[h] = b.repositories(h)
	}
	now := time.Date(2026, 11, 21, 23, 59, 0, 0, time.UTC)
	all := func(at ...time.Time) {
		for i, h := range hosts {
			rotate(t, keys[h], at[i])
		}
	}
	all(now, now, now)
	if err := b.exchange(hosts...); err != nil {
		t.Errorf("at first: %v", err)
	}
	all(now, now.Add(2*time.Minute), now)
	if err := b.exchange(hosts...); err != nil {
		t.Errorf("one has rotated: %v", err)
	}
	all(now.Add(2*time.Minute), now.Add(2*time.Minute), now)
	if err := b.exchange(hosts...); err != nil {
		t.Errorf("all but one have rotated: %v", err)
	}
	later := now.AddDate(0, 7, 0)
	all(later, later, now)
	if b.exchange(hosts...) == nil {
		t.Error("keys of half a year ago are still good, and nothing was proven")
	}
	all(later, later, later) // which is what the third does before its Keystone starts
	if err := b.exchange(hosts...); err != nil {
		t.Errorf("the third was off for half a year: %v", err)
	}
	b.rotateMasters()
	keys["controller2"] = b.repositories("controller2")
	rotate(t, keys["controller2"], later)
	if err := b.exchange(hosts...); err != nil {
		t.Errorf("one has other master keys: %v", err)
	}
}

// rotateMasters is "updraft secrets rotate".
func (b *box) rotateMasters() {
	b.t.Helper()
	store := b.d.Secrets.(vault).Source.(interface{ Rotate(name string) error })
	for _, name := range []string{"keystone-fernet", "keystone-credential"} {
		if err := store.Rotate(name); err != nil {
			b.t.Fatal(err)
		}
	}
}

// reader reads the keys again and again, as each token does, until the file "stop" is
// there. After each time it says how many there were.
const reader = `
import os
from cryptography import fernet
from keystone.common import fernet_utils
import keystone.conf

keystone.conf.configure()

def keys():
    return fernet_utils.FernetUtils("/etc/updraft/controller1/fernet-keys", 3, "fernet").load_keys()

def crypto(loaded):
    return fernet.MultiFernet([fernet.Fernet(k) for k in loaded])

count = 0
before = crypto(keys()).encrypt(b"secret")
while not os.path.exists("/etc/updraft/stop"):
    now = crypto(keys())
    now.decrypt(before)
    before = now.encrypt(b"secret")
    count += 1
    print(count, flush=True)
`

func TestKeystoneReadsKeysWhileTheyRotate(t *testing.T) {
	b := newBox(t, "openstack")
	keys := b.repositories("controller1")[:1]
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	rotate(t, keys, now)
	b.write(stack.ConfigRoot+"/reader.py", reader)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	c := b.command(ctx, "-euc", "podman run --user=keystone box/openstack:x python3 /etc/updraft/reader.py")
	var said strings.Builder
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{}, 1) // holds something when keys were read since it was looked at
	ended := make(chan int)
	go func() {
		count := 0
		for lines := bufio.NewScanner(out); lines.Scan(); count++ {
			select {
			case read <- struct{}{}:
			default:
			}
		}
		close(read)
		ended <- count
	}()
	// A token outlives three rotations, so the reader has to keep up with them.
	const rotations = 300
	for day := range rotations {
		rotate(t, keys, now.AddDate(0, 0, day))
		if day%2 == 1 {
			<-read
			<-read // one that began afterwards
		}
	}
	b.write(stack.ConfigRoot+"/stop", "")
	count := <-ended
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, lastLines(said.String()))
	}
	t.Logf("during %d rotations keys were read %d times", rotations, count)
}
