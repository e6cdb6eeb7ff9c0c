package guard

import (
	"slices"
	"strings"
	"testing"
)

// three is a view of a, b and c as one of them remembers it.
func three(self string) View {
	return View{ID: "5e21:7", Self: self, Members: []string{"a", "b", "c"}}
}

func at(seqno int64) Position { return Position{UUID: "c0ffee", Seqno: seqno} }

// says is a report of a server that has all data.
func says(host string, c Condition, v View, p Position) Report {
	return Report{Host: host, Condition: c, View: v, Position: p, Whole: true}
}

func TestWhoMayBeginTheCluster(t *testing.T) {
	a, b, c := three("a"), three("b"), three("c")
	later := View{ID: "77aa:8", Self: "c", Members: []string{"a", "c"}}
	joining := says("b", Live, b, Position{UUID: "00000000-0000-0000-0000-000000000000", Seqno: -1})
	joining.Whole = false
	empty := joining
	empty.Host, empty.View = "c", c
	ahead := says("b", Live, b, at(12))
	ahead.Whole = false
	another := says("b", Live, b, Position{UUID: "decaf", Seqno: 9})
	for _, x := range []struct {
		name    string
		reports []Report
		want    string // the host, or a part of why nobody may
	}{
		{"nobody, when nobody is there", nil, "no server remembers a view"},
		{"not one of three", []Report{says("a", Live, a, at(10))}, "1 of 3 members"},
		{"the more advanced of two of three", []Report{says("a", Live, a, at(10)), says("b", Live, b, at(11))}, "b"},
		{"one that runs rather than one that is started, when both have the same", []Report{says("a", Waiting, a, at(10)), says("b", Live, b, at(10))}, "b"},
		{"one that is started, when it has more", []Report{says("a", Waiting, a, at(12)), says("b", Live, b, at(10))}, "a"},
		{"the first by name among equals", []Report{says("b", Live, b, at(10)), says("a", Live, a, at(10))}, "a"},
		{"nobody, when somebody is in a primary component", []Report{says("a", Live, a, at(1)), says("b", Live, b, at(1)), says("c", Primary, c, at(1))}, "c is in a primary"},
		{"nobody, when one of two remembers a later view", []Report{says("a", Live, a, at(10)), says("b", Live, b, at(10)), says("c", Live, later, at(10))}, "1 of 2 members of the last view 77aa:8"},
		{"nobody who left in order", []Report{says("a", Waiting, a, at(10)), says("b", Waiting, View{}, at(11))}, "1 of 3 members"},
		{"nobody, when a member is counted twice", []Report{says("a", Live, a, at(10)), says("a2", Live, a, at(10))}, "1 of 3 members"},
		{"nobody, when two histories have the same number", []Report{says("a", Live, a, at(10)), says("b", Live, View{ID: "aaaa:7", Self: "b", Members: []string{"b"}}, at(10))}, "another view"},
		{"one with all data, not one that is being given them", []Report{joining, says("c", Live, c, at(3))}, "c"},
		{"nobody, when none is known to have all data", []Report{joining, empty}, "known to have all data"},
		{"nobody, when one without all data has more", []Report{ahead, says("c", Live, c, at(3))}, "b is at c0ffee:12"},
		{"nobody, when data are of different clusters", []Report{another, says("c", Live, c, at(12))}, "b is at decaf:9"},
		{"nobody that may be in a primary component", []Report{says("a", Live, a, at(1)), says("b", Unknown, b, at(1))}, "1 of 3 members"},
	} {
		t.Run(x.name, func(t *testing.T) {
			for range 2 {
				got, err := Elect(x.reports)
				if err != nil && !strings.Contains(err.Error(), x.want) || err == nil && got.Host != x.want {
					t.Errorf("got %+v, %v, want %s", got, err, x.want)
				}
				slices.Reverse(x.reports) // in any order
			}
		})
	}
}

func TestAViewIsReadAsGaleraWritesIt(t *testing.T) {
	const text = "my_uuid: 2b\n#vwbeg\nview_id: 3 1a 4\nbootstrap: 0\nmember: 1a 0\nmember: 2b 0\nmember: 3c 0\n#vwend\n"
	v, err := ParseView(text)
	if err != nil || v.ID != "1a:4" || v.Number() != 4 || v.Self != "2b" || !slices.Equal(v.Members, []string{"1a", "2b", "3c"}) {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, broken := range []string{"", "my_uuid: 9z\n" + text[len("my_uuid: 2b\n"):], strings.Replace(text, "1a 4", "1a x", 1)} {
		if v, err := ParseView(broken); err == nil {
			t.Errorf("%q is %+v", broken, v)
		}
	}
}

func TestAServerThatWasStartedAnewIsTheSameMember(t *testing.T) {
	// As a server left it that was cut and is being started: it counts itself up, and
	// has the view as it was.
	const text = "my_uuid: c57b5473-e5b8-11f1-90a6-e7140634fd5f\n#vwbeg\nview_id: 3 c527fdb1-e5b8-11f1-98f8-a24f84610f2e 3\nbootstrap: 0\n" +
		"member: c527fdb1-e5b8-11f1-98f8-a24f84610f2e 0\nmember: c57b5473-e5b8-11f1-90a5-e7140634fd5f 0\n#vwend\n"
	v, err := ParseView(text)
	if err != nil || v.Self != "c57b5473-e5b8-11f1-e7140634fd5f" || !slices.Contains(v.Members, v.Self) {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestAPositionIsKnownWhenItHasANumberAndAHistory(t *testing.T) {
	for text, known := range map[string]bool{
		"c0ffee:10": true, "c0ffee:10,0-1-10": true, "c0ffee:-1": false, "00000000-0000-0000-0000-000000000000:5": false,
	} {
		if p, err := ParsePosition(text); err != nil || p.Known() != known {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, broken := range []string{"", ":", "c0ffee"} {
		if _, err := ParsePosition(broken); err == nil {
			t.Errorf("%q is a position", broken)
		}
	}
}
