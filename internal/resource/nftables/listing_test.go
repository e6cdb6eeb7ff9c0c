package nftables

import "testing"

// Listings as nft 1.1.3 prints them.
const (
	listed = `{"nftables": [{"metainfo": {"version": "1.1.3"}}, {"table": {"family": "inet", "name": "updraft_x", "handle": 4}},
{"set": {"family": "inet", "name": "banned", "table": "updraft_x", "type": "ipv4_addr", "handle": 2, "flags": ["timeout"], "timeout": 3600}},
{"rule": {"family": "inet", "table": "updraft_x", "chain": "input", "handle": 3, "expr": [{"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "updraft_x", "chain": "input", "handle": 4, "expr": [{"limit": {"rate": 10, "burst": 5, "per": "second"}}]}}]}`
	moved = `{"nftables": [{"metainfo": {"version": "1.1.4"}}, {"table": {"family": "inet", "name": "updraft_x", "handle": 9}},
{"set": {"family": "inet", "name": "banned", "table": "updraft_x", "type": "ipv4_addr", "handle": 7, "flags": ["timeout"], "timeout": 3600,
 "elem": [{"elem": {"val": "10.88.0.9", "timeout": 3600, "expires": 3599}}]}},
{"rule": {"family": "inet", "table": "updraft_x", "chain": "input", "handle": 8, "expr": [{"counter": {"packets": 12, "bytes": 999}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "updraft_x", "chain": "input", "handle": 9, "expr": [{"limit": {"rate": 10, "burst": 5, "per": "second"}}]}}]}`
	edited = `{"nftables": [{"table": {"family": "inet", "name": "updraft_x", "handle": 4}},
{"set": {"family": "inet", "name": "banned", "table": "updraft_x", "type": "ipv4_addr", "handle": 2, "flags": ["timeout"], "timeout": 3600}},
{"rule": {"family": "inet", "table": "updraft_x", "chain": "input", "handle": 3, "expr": [{"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}},
{"rule": {"family": "inet", "table": "updraft_x", "chain": "input", "handle": 4, "expr": [{"limit": {"rate": 10, "burst": 5, "per": "second"}}]}}]}`
)

func TestOnlyWhatDoesNotMoveByItselfCounts(t *testing.T) {
	of := func(text string) string {
		d, err := digestListing([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if of(listed) != of(moved) {
		t.Error("handles, counters and elements that packets added count")
	}
	if of(listed) == of(edited) {
		t.Error("another verdict does not count")
	}
	if _, err := digestListing([]byte("{")); err == nil {
		t.Error("half a listing is taken for a whole")
	}
}
