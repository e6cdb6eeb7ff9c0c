package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// savedVersion is the format of saved plans.
const savedVersion = 1

// Saved is a plan in a file: what would be done, and to what it was compared.
// It holds no times, so that the same plan is the same file.
type Saved struct {
	Version int    `json:"version"`
	Cloud   string `json:"cloud"`
	// File is the cloud file that it was made from, Inputs the digest of all
	// that was read.
	File   string   `json:"file"`
	Set    []string `json:"set,omitempty"`
	Only   []string `json:"only,omitempty"` // the part that was planned
	Inputs string   `json:"inputs"`
	Graph  string   `json:"graph"`
	Plan   *Plan    `json:"plan"`
}

// MovedError means that a saved plan is no longer what would be done.
type MovedError struct{ What []string }

// Error lists what moved.
func (e *MovedError) Error() string {
	var b bytes.Buffer
	b.WriteString("the world has moved since the plan was made; plan again:")
	for i, w := range e.What {
		if i == 20 {
			fmt.Fprintf(&b, "\n  and %d more", len(e.What)-i)
			break
		}
		b.WriteString("\n  " + w)
	}
	return b.String()
}

// Save writes the plan of this engine's graph.
func (s Saved) Save(w io.Writer) error {
	s.Version = savedVersion
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// Digest returns the digest of the engine's graph, which a saved plan carries.
func (e *Engine) Digest() string { return e.graph.Digest() }

// ReadSaved reads a saved plan. Its Plan can be compared, not applied.
func ReadSaved(r io.Reader) (*Saved, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var s Saved
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("this is not a plan of updraft: %w", err)
	}
	if s.Version != savedVersion || s.Plan == nil {
		return nil, fmt.Errorf("the plan has format %d; this updraft knows %d: plan again", s.Version, savedVersion)
	}
	return &s, nil
}

// Same returns nil when now would do just what the saved plan says, or else a
// [*MovedError].
func (s *Saved) Same(inputs, graph string, now *Plan) error {
	var moved []string
	if s.Inputs != inputs {
		moved = append(moved, "the cloud file or what it includes was edited")
	}
	if s.Graph != graph && s.Inputs == inputs {
		moved = append(moved, "this version of updraft makes something else of the cloud file, or its secrets were made or rotated since")
	}
	was, is := stepTexts(s.Plan), stepTexts(now)
	for _, st := range s.Plan.Steps {
		switch text, ok := is[st.ID]; {
		case !ok:
			moved = append(moved, st.ID+": the plan would "+string(st.Action)+" it, now nothing is to be done")
		case text != was[st.ID]:
			moved = append(moved, st.ID+": differs in another way now")
		}
	}
	for _, st := range now.Steps {
		if _, ok := was[st.ID]; !ok {
			moved = append(moved, st.ID+": was in order, now there is something to "+string(st.Action))
		}
	}
	if len(moved) > 0 {
		return &MovedError{moved}
	}
	return nil
}

func stepTexts(p *Plan) map[string]string {
	m := make(map[string]string, len(p.Steps))
	for i := range p.Steps {
		b, err := json.Marshal(&p.Steps[i])
		if err != nil {
			b = []byte(err.Error()) // cannot happen: all fields are plain
		}
		m[p.Steps[i].ID] = string(b)
	}
	return m
}
