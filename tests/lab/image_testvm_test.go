package lab_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/testvm"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
)

func TestTheSamePackagesMakeTheSameTestVM(t *testing.T) {
	needLab(t)
	var sums []map[string]string
	for range 2 {
		b := testvm.Builder{Dir: t.TempDir()}
		if err := b.Ensure(t.Context(), t.Logf); err != nil {
			t.Fatal(err)
		}
		i, err := b.Image()
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, i.SHA256)
	}
	if len(sums[0]) != 3 || !maps.Equal(sums[0], sums[1]) {
		t.Errorf("two builds differ: %v", sums)
	}
}

// metadataScript answers as the metadata service does.
const metadataScript = `read -r method path version
while read -r line; do [ "${line%?}" ] || break; done
case $path in
*/instance-id) body=i-00000007 ;;
*/hostname) body=vm7.novalocal ;;
*) printf 'HTTP/1.0 404 Not Found\r\n\r\n'; exit ;;
esac
printf 'HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s' ${#body} $body
`

// bootScript runs QEMU of the image openstack, see inCopy, with a user network that
// leads nowhere but to the metadata script, and forwards a port.
const bootScript = `ip link set lo up
mount --bind "$VM" "$ROOT/mnt"
mount --bind "$SCRIPTS" "$ROOT/tmp"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
exec chroot "$ROOT" qemu-system-x86_64 -accel tcg -m "$MEMORY" -nographic -no-reboot -nodefaults -serial stdio \
	-kernel "/mnt/$KERNEL" -initrd "/mnt/$INITRD" -append "$COMMANDLINE" \
	-drive "file=/mnt/$DISK,format=raw,if=virtio,readonly=on" -device virtio-net-pci,netdev=n \
	-netdev "user,id=n,net=169.254.169.0/24,host=169.254.169.2,dhcpstart=169.254.169.15,restrict=on,guestfwd=tcp:169.254.169.254:80-cmd:/bin/sh /tmp/metadata,hostfwd=tcp:127.0.0.1:8080-:80"
`

func TestTheTestVMBootsAndAnswers(t *testing.T) {
	needLab(t)
	vm := testvm.Builder{}
	if err := vm.Ensure(t.Context(), t.Logf); err != nil {
		t.Fatal(err)
	}
	i, err := vm.Image()
	if err != nil {
		t.Fatal(err)
	}
	cmd := bootCommand(t, i)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // it is killed by the end of the context
	const want = "hostname=vm7.novalocal instance-id=i-00000007 address=169.254.169.15/24"
	var console strings.Builder
	ready := false
	for sc := bufio.NewScanner(out); !ready && sc.Scan(); {
		fmt.Fprintln(&console, sc.Text())
		ready = strings.Contains(sc.Text(), testvm.Ready+" "+want)
	}
	if !ready {
		t.Fatalf("the console does not say %s %s:\n%s", testvm.Ready, want, &console)
	}
	if got := ask(t, cmd.Process.Pid); got != want {
		t.Errorf("answer: %q", got)
	}
	_ = cmd.Process.Kill()
}

func bootCommand(t *testing.T, i testvm.Image) *exec.Cmd {
	t.Helper()
	r, err := release.Load(release.Default)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := r.Recipe("openstack")
	if err != nil {
		t.Fatal(err)
	}
	images := oci.Builder{}
	if err := images.Ensure(t.Context(), recipe, t.Logf); err != nil {
		t.Fatal(err)
	}
	root, err := images.Root(recipe)
	if err != nil {
		t.Fatal(err)
	}
	scripts := t.TempDir()
	if err := os.WriteFile(filepath.Join(scripts, "metadata"), []byte(metadataScript), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return inCopy(ctx, root, bootScript,
		"VM="+filepath.Dir(i.Kernel), "SCRIPTS="+scripts, "MEMORY="+strconv.Itoa(testvm.MinMemory), "COMMANDLINE="+testvm.CommandLine,
		"KERNEL="+filepath.Base(i.Kernel), "INITRD="+filepath.Base(i.Initrd), "DISK="+filepath.Base(i.Disk))
}

// ask returns what the VM answers, as seen from the network namespace of its QEMU.
func ask(t *testing.T, pid int) string {
	t.Helper()
	ns, err := netns.OpenPID(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return ns.DialContext(ctx, network, "127.0.0.1:8080")
		},
	}}
	resp, err := client.Get("http://vm/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}
