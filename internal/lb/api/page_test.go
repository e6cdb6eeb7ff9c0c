package api

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// thing is an object of lists whose order is known.
type thing struct{ id, name string }

func thingKind() *kind[thing] {
	return &kind[thing]{one: "thing", many: "things", id: func(o thing) string { return o.id }, attrs: []attribute[thing]{
		textual("id", func(o thing) string { return o.id }), textual("name", func(o thing) string { return o.name }),
	}}
}

// things are n objects by identifier, of which several have the same name.
func things(n int) []thing {
	out := make([]thing, n)
	for i := range out {
		out[i] = thing{fmt.Sprintf("%08d", i), fmt.Sprint("name", rand.IntN(max(1, n/3)))}
	}
	return out
}

func TestPagesAreWhatOrderingAllWouldGive(t *testing.T) {
	k := thingKind()
	for range 300 {
		all := things(rand.IntN(40))
		byName := rand.IntN(2) == 0
		limit := rand.IntN(8)
		query := url.Values{"limit": {fmt.Sprint(limit)}}
		want := slices.Clone(all)
		if byName {
			query.Set("sort", "name:desc")
			slices.SortFunc(want, func(a, b thing) int { return cmp.Or(strings.Compare(b.name, a.name), strings.Compare(a.id, b.id)) })
		}
		if len(want) > 0 && rand.IntN(2) == 0 {
			at := rand.IntN(len(want))
			query.Set("marker", want[at].id)
			if rand.IntN(2) == 0 {
				query.Set("page_reverse", "True")
				want = want[:at]
				if limit > 0 {
					want = want[max(0, at-limit):]
				}
			} else {
				want = want[at+1:]
			}
		}
		q, f := parseQuery(httptest.NewRequest(http.MethodGet, "/?"+query.Encode(), nil), 1000)
		if f != nil {
			t.Fatal(f)
		}
		from := among(k, all)
		if from.sorted = !byName && rand.IntN(2) == 0; !from.sorted {
			from.all = shuffled(all)
		}
		got, f := k.page(q, from)
		if f != nil {
			t.Fatal(f)
		}
		if want = cut(want, limit); !slices.Equal(got, want) {
			t.Fatalf("%s of %v:\n got %v\nwant %v", query.Encode(), all, got, want)
		}
	}
}

func shuffled(all []thing) iter.Seq[thing] {
	other := slices.Clone(all)
	rand.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
	return slices.Values(other)
}

// TestThePagesOfQuotasEnd goes from page to page of objects that have neither an
// identifier nor a time of creation among their attributes.
func TestThePagesOfQuotasEnd(t *testing.T) {
	r := newRig(t)
	var want []string
	for range 3 {
		other := newRig(t)
		r.must(202, "PUT", "/quotas/"+other.project, m{"quota": m{"pool": 7}})
		want = append(want, other.project)
	}
	var got []string
	for marker := ""; len(got) <= len(want); marker = "&marker=" + got[len(got)-1] {
		a := r.do("GET", "/quotas?limit=1&pool=7"+marker, nil)
		a.want(200, "")
		id, ok := a.at("quotas.0.project_id").(string)
		if !ok {
			break
		}
		got = append(got, id)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, wanted %q", got, want)
	}
}

func BenchmarkTheFirstPageOf100000(b *testing.B) {
	k, all := thingKind(), things(100_000)
	for _, c := range []struct {
		name, query string
		sorted      bool
	}{{"by creation", "", true}, {"of children", "", false}, {"by name", "sort=name", false}, {"with a name", "name=name5", true}} {
		b.Run(c.name, func(b *testing.B) {
			from := among(k, all)
			from.sorted = c.sorted
			for b.Loop() {
				q, f := parseQuery(httptest.NewRequest(http.MethodGet, "/?"+c.query, nil), 1000)
				if f != nil {
					b.Fatal(f)
				}
				if _, f := k.page(q, from); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}

// TestARepeatedSortKeyCostsNothing names a key as often as fits into an address.
func TestARepeatedSortKeyCostsNothing(t *testing.T) {
	all := things(50)
	for i := range all {
		all[i].name = "same" // so that every key is compared
	}
	compared := func(sort string) (n int) {
		k := thingKind()
		name, _ := k.attr("name")
		compare := name.compare
		name.compare = func(a, b thing) int { n++; return compare(a, b) }
		q, f := parseQuery(httptest.NewRequest(http.MethodGet, "/?sort="+sort, nil), 1000)
		if f != nil {
			t.Fatal(f)
		}
		if _, f := k.page(q, among(k, all)); f != nil {
			t.Fatal(f)
		}
		return n
	}
	if once, often := compared("name"), compared("name"+strings.Repeat(",name", 1000)); once != often || once == 0 {
		t.Errorf("it is compared %d times instead of %d", often, once)
	}
}
