package spec

// The parts of the file that can be written in more than one way.

// providerFile is a name, or a map with one name and its settings.
type providerFile struct{ Part Part }

type providerChoice struct {
	Part Part `json:"-" parts:"providers" doc:"The provider with its settings."`
}

func (*providerFile) Forms() []any { return []any{new(string), new(providerChoice)} }

func (p *providerFile) Take(form any) {
	switch f := form.(type) {
	case *string:
		p.Part = Part{Name: *f}
	case *providerChoice:
		p.Part = f.Part
	}
}

// packageCacheFile is true, false, or a map of settings.
type packageCacheFile struct {
	on       bool
	settings packageCacheSettings
}

func (*packageCacheFile) Forms() []any { return []any{new(bool), new(packageCacheSettings)} }

func (p *packageCacheFile) Take(form any) {
	switch f := form.(type) {
	case *bool:
		p.on = *f
		p.settings = packageCacheSettings{Size: defaultCacheSize}
	case *packageCacheSettings:
		p.on, p.settings = true, *f
	}
}

// defaultCacheSize is the default of the tag, for the short form.
const defaultCacheSize = 10 << 30

// groupHostsFile is a list of names, or a map of names with settings.
type groupHostsFile struct {
	given bool
	names []string
	hosts Map[hostFile]
}

func (*groupHostsFile) Forms() []any { return []any{new([]string), new(Map[hostFile])} }

func (h *groupHostsFile) Take(form any) {
	h.given = true
	switch f := form.(type) {
	case *[]string:
		h.names = *f
	case *Map[hostFile]:
		h.hosts, h.names = *f, f.Keys()
	}
}

// nicFile is the name of a network, or a map.
type nicFile struct{ nicSettings }

func (*nicFile) Forms() []any { return []any{new(string), new(nicSettings)} }

func (n *nicFile) Take(form any) {
	switch f := form.(type) {
	case *string:
		n.nicSettings = nicSettings{Network: *f}
	case *nicSettings:
		n.nicSettings = *f
	}
}
