package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/machine"
)

// BenchmarkLab measures a lab from nothing, with a warm root, until all sshd
// answer, and its removal: go test -bench Lab -benchtime 1x ./tests/lab.
func BenchmarkLab(b *testing.B) {
	for _, n := range []int{1, 5, 20, 100} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			f := newFixture(b)
			p := f.provider()
			cloud := cloudName(fmt.Sprint("b", n))
			topo := f.topology(b, cloud, n)
			b.Cleanup(func() {
				if err := p.RemoveAll(context.Background(), cloud, quiet); err != nil {
					b.Error(err)
				}
			})
			for _, i := range topo.Images {
				if err := p.EnsureImage(b.Context(), i, quiet); err != nil {
					b.Fatal(err)
				}
			}
			var made, answered, observed, removed time.Duration
			var cpu float64
			for b.Loop() {
				start := time.Now()
				if err := up(b.Context(), p, topo); err != nil {
					b.Fatal(err)
				}
				made += time.Since(start)
				if err := parallel(topo.Machines, func(m machine.Machine) error { return answers(b.Context(), p, m) }); err != nil {
					b.Fatal(err)
				}
				answered += time.Since(start)
				cpu += cpuSeconds(b, cloud)
				start = time.Now()
				for _, m := range topo.Machines {
					if r, err := p.ObserveMachine(b.Context(), m); err != nil || !r.Agrees() {
						b.Fatal(r, err)
					}
				}
				observed += time.Since(start)
				start = time.Now()
				if err := p.RemoveAll(b.Context(), cloud, quiet); err != nil {
					b.Fatal(err)
				}
				removed += time.Since(start)
			}
			b.ReportMetric(made.Seconds()/float64(b.N), "made-s")
			b.ReportMetric(answered.Seconds()/float64(b.N), "answer-s")
			b.ReportMetric(cpu/float64(b.N*n), "cpu-s/host")
			b.ReportMetric(float64(observed.Microseconds())/1000/float64(b.N*n), "observe-ms/host")
			b.ReportMetric(removed.Seconds()/float64(b.N), "remove-s")
		})
	}
}

// cpuSeconds is the processor time that the cloud's machines have used.
func cpuSeconds(b *testing.B, cloud string) float64 {
	for _, dir := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		stat, err := os.ReadFile(filepath.Join(dir, "updraft.lab", cloud, "cpu.stat"))
		if err != nil {
			continue
		}
		var usec float64
		if _, err := fmt.Sscanf(string(stat), "usage_usec %f", &usec); err != nil {
			b.Fatal(err)
		}
		return usec / 1e6
	}
	return 0
}
