package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// query is what a list was asked for (contract §7).
type query struct {
	limit   int // 0: no limit
	marker  string
	reverse bool
	sort    []sortKey
	fields  []string // nil: all
	filters []filter
	// project is the filter that is the scope of the request at the same time.
	project    string
	hasProject bool

	tags, anyTags, notTags, notAnyTags []string

	// sent are the parameters as they came, for the links to other pages.
	sent url.Values
}

type (
	sortKey struct {
		name string
		desc bool
	}
	filter struct{ name, value string }
)

var errBadFilter = badRequest("One or more arguments are either duplicate or invalid")

// parseQuery reads the parameters of a list. Faults about paging have the shape
// of those that are found before a handler runs.
func parseQuery(r *http.Request, maxLimit int) (*query, *fault) {
	q := &query{limit: maxLimit}
	if r.URL.RawQuery == "" {
		return q, nil
	}
	sent, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errBadFilter
	}
	q.sent = sent
	if f := q.paging(maxLimit); f != nil {
		f.title = http.StatusText(f.status)
		return nil, f
	}
	return q, q.restrict()
}

func (q *query) paging(maxLimit int) *fault {
	q.marker = q.sent.Get("marker")
	q.reverse = strings.EqualFold(q.sent.Get("page_reverse"), "true")
	if limit := q.sent.Get("limit"); q.sent.Has("limit") {
		n, err := strconv.Atoi(limit)
		switch {
		case limit == "infinite" || err == nil && n < 1:
			q.limit = 0
		case err != nil:
			return badRequest("Supplied pagination limit '%s' is not valid.", limit)
		case maxLimit > 0:
			q.limit = min(n, maxLimit)
		default:
			q.limit = n
		}
	}
	return q.ordering()
}

// ordering reads sort=key:dir,… or sort_key=… with sort_dir=….
func (q *query) ordering() *fault {
	add := func(key, dir string) *fault {
		desc := strings.EqualFold(dir, "desc")
		if !desc && !strings.EqualFold(dir, "asc") {
			return badRequest("Supplied sort direction '%s' is not valid.", strings.ToLower(dir))
		}
		q.sort = append(q.sort, sortKey{key, desc})
		return nil
	}
	if list := q.sent.Get("sort"); list != "" {
		for item := range strings.SplitSeq(list, ",") {
			key, dir, ok := strings.Cut(item, ":")
			if !ok {
				dir = "asc"
			}
			if err := add(key, dir); err != nil {
				return err
			}
		}
		return nil
	}
	if q.sent.Get("sort_key") == "" {
		return nil
	}
	dirs := strings.Split(q.sent.Get("sort_dir"), ",")
	for i, key := range strings.Split(q.sent.Get("sort_key"), ",") {
		dir := "asc"
		if i < len(dirs) && dirs[i] != "" {
			dir = dirs[i]
		}
		if err := add(key, dir); err != nil {
			return err
		}
	}
	return nil
}

// restrict reads fields and filters. A filter that is repeated is a fault: two
// values of one attribute match nothing.
func (q *query) restrict() *fault {
	for name, values := range q.sent {
		switch name {
		case "limit", "marker", "sort", "sort_key", "sort_dir", "page_reverse":
		case "fields":
			q.fields = values
		case "tags":
			q.tags = split(values)
		case "tags-any":
			q.anyTags = split(values)
		case "not-tags":
			q.notTags = split(values)
		case "not-tags-any":
			q.notAnyTags = split(values)
		default:
			if len(values) > 1 {
				return errBadFilter
			}
			if name == "project_id" {
				q.project, q.hasProject = values[0], true
				continue
			}
			q.filters = append(q.filters, filter{name, values[0]})
		}
	}
	return nil
}

func split(values []string) []string {
	var out []string
	for _, v := range values {
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// admits applies the tag filters to an object's sorted tags.
func (q *query) admits(tags []string) bool {
	has := func(tag string) bool { _, ok := slices.BinarySearch(tags, tag); return ok }
	all := func(list []string) bool { return !slices.ContainsFunc(list, func(t string) bool { return !has(t) }) }
	switch {
	case !all(q.tags),
		len(q.anyTags) > 0 && !slices.ContainsFunc(q.anyTags, has),
		len(q.notTags) > 0 && all(q.notTags),
		slices.ContainsFunc(q.notAnyTags, has):
		return false
	}
	return true
}

func (q *query) tagged() bool {
	return len(q.tags)+len(q.anyTags)+len(q.notTags)+len(q.notAnyTags) > 0
}

// link is the address of another page. Everything that was asked for is asked
// for again: what Octavia leaves out there, its clients lose after the first page.
func (q *query) link(base, marker string, previous bool) string {
	var b strings.Builder
	b.WriteString(base)
	b.WriteString("?limit=" + strconv.Itoa(q.limit))
	add := func(name, value string) {
		b.WriteString("&" + url.QueryEscape(name) + "=" + unescaper.Replace(url.QueryEscape(value)))
	}
	names := make([]string, 0, len(q.sent))
	for name := range q.sent {
		if name != "limit" && name != "marker" && name != "page_reverse" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range q.sent[name] {
			add(name, v)
		}
	}
	add("marker", marker)
	if previous {
		add("page_reverse", "True")
	}
	return b.String()
}

// unescaper leaves readable what need not be escaped in a query.
var unescaper = strings.NewReplacer("%3A", ":", "%2C", ",")
