package hostagent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/hostagent"
	"github.com/updraft-cloud/updraft/internal/hostagent/agent"
	"github.com/updraft-cloud/updraft/internal/hostagent/hostagenttest"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/pkg"
	"github.com/updraft-cloud/updraft/internal/resource/user"
	"github.com/updraft-cloud/updraft/internal/transport/fake"
)

// w100 lays a host's root directory out as W100 wants it (package bench/work),
// but for its five units, which need a running systemd. It returns the resources.
func w100(b *testing.B, root string) []resource.Resource {
	var want []resource.Resource
	put := func(path, content string) {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 15 {
		want = append(want, &directory.Resource{Path: fmt.Sprintf("/etc/bench%d", i), Mode: "0755"})
	}
	for i := range 65 {
		f := &file.Resource{Path: fmt.Sprintf("/etc/bench%d/file%d.conf", i%15, i), Content: strings.Repeat("0123456789abcde\n", 64), Mode: "0644"}
		put(f.Path, f.Content)
		want = append(want, f)
	}
	passwd, group, status := "root:x:0:0::/root:/bin/sh\n", "root:x:0:\n", ""
	for i := range 40 {
		passwd += fmt.Sprintf("bench%d:x:%d:%d::/home/bench%d:/bin/bash\n", i, 3000+i, 3000+i, i)
		group += fmt.Sprintf("bench%d:x:%d:\n", i, 3000+i)
		if i < 10 {
			no := false
			want = append(want, &user.Resource{Name: fmt.Sprint("bench", i), UID: 3000 + i, Shell: "/bin/bash", CreateHome: &no})
		}
	}
	for i := range 350 { // as many as a small server has
		status += fmt.Sprintf("Package: pkg%d\nStatus: install ok installed\nPriority: optional\nArchitecture: amd64\nVersion: 1.%d-1\n"+
			"Maintainer: somebody\nDepends: libc6 (>= 2.36)\nDescription: a package\n%s\n", i, i, strings.Repeat(" And it has a longer description, too.\n", 20))
	}
	for i := range 5 {
		want = append(want, &pkg.Resource{Name: fmt.Sprint("pkg", i)})
	}
	put("/etc/passwd", passwd)
	put("/etc/group", group)
	put("/etc/shadow", "")
	put("/var/lib/dpkg/status", status)
	put("/usr/bin/dpkg", "")
	return want
}

// BenchmarkObserveW100 measures one observation of a converged host from end to
// end: encoding, protocol, looking, reply.
func BenchmarkObserveW100(b *testing.B) {
	root := b.TempDir()
	want := w100(b, root)
	h, err := hostos.New(hostos.Options{Root: root})
	if err != nil {
		b.Fatal(err)
	}
	conn := fake.New(hostagenttest.Handler(agent.Options{
		Registry: all.Registry(),
		Host:     func(log func(string)) resource.Host { return h.WithLog(log) },
	}, func(context.Context, fake.Command) int { return 127 }))
	defer conn.Close()
	c, err := hostagent.Start(b.Context(), conn, hostagent.Options{Host: "host1"})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		reports, err := c.Observe(b.Context(), want, nil)
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range reports {
			if !r.Agrees() {
				b.Fatalf("%s: %+v", resource.Ref(want[i]), r)
			}
		}
	}
}
