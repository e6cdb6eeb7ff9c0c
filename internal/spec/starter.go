package spec

import (
	"bytes"
	_ "embed"
)

//go:embed starter.yaml
var starter []byte

// Starter returns a commented cloud file to begin with, for a cloud of the
// given name. A name that a cloud cannot have is replaced by "hello".
func Starter(name string) []byte {
	if !Formats["cloud"].ok(name) {
		name = "hello"
	}
	return bytes.Replace(starter, []byte("cloud: NAME"), []byte("cloud: "+name), 1)
}
