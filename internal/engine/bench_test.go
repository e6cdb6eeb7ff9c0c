package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
)

// held is a world in which everything agrees but every thousandth thing.
type held struct{ engine.Executor }

func (held) Observe(_ context.Context, _ string, nodes []*engine.Node) ([]drift.Report, error) {
	out := make([]drift.Report, len(nodes))
	for i, n := range nodes {
		out[i].Status = drift.InSync
		if n.Key == "/etc/conf/17" && len(nodes)%2 == 0 {
			out[i] = drift.Report{Status: drift.Differs, Changes: []drift.Change{{Attr: "mode", From: "0600", To: "0644"}}}
		}
	}
	return out, nil
}

func bigGraph(b *testing.B, hosts, perHost int) *engine.Graph {
	b.Helper()
	nodes := make([]*engine.Node, 0, hosts*(perHost+1))
	scopes := make([]engine.Scope, 0, hosts)
	for h := range hosts {
		host := fmt.Sprintf("host%d", h+1)
		gate := "machine:" + host
		nodes = append(nodes, &engine.Node{ID: gate, Kind: "machine", Key: host, Body: enginetest.Value("m")})
		scopes = append(scopes, engine.Scope{Name: host, Gate: gate})
		dir := host + "/directory:/etc/conf"
		nodes = append(nodes, &engine.Node{ID: dir, Kind: "directory", Key: "/etc/conf", Scope: host, Body: enginetest.Value("d")})
		for r := range perHost - 1 {
			key := fmt.Sprintf("/etc/conf/%d", r)
			nodes = append(nodes, &engine.Node{ID: host + "/file:" + key, Kind: "file", Key: key, Scope: host, Body: enginetest.Value("f"), Needs: []string{dir}})
		}
	}
	g, err := engine.NewGraph(nodes, scopes)
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// BenchmarkPlan plans clouds of 10, 100 and 1,000 hosts with 300 resources each
// from observed state held in a fake, graph and text included.
func BenchmarkPlan(b *testing.B) {
	for _, hosts := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			var peak uint64
			for b.Loop() {
				e := engine.New(bigGraph(b, hosts, 300), statedir.Open(b.TempDir()), held{}, nil, engine.Options{})
				p, err := e.Plan(context.Background())
				if err != nil || p.Empty() {
					b.Fatal(err)
				}
				if _, err := json.Marshal(p); err != nil {
					b.Fatal(err)
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		})
	}
}
