package lease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// Config is what a holder has to know, as it lies on its host.
type Config struct {
	Host string `json:"host"`
	// Key is the same on all hosts, one of which may run the program.
	Key string `json:"key"`
	CA  string `json:"ca"`
	// Etcd are URLs for its clients, the host's own first; EtcdLeaf is what is shown
	// there.
	Etcd     []string `json:"etcd"`
	EtcdLeaf string   `json:"etcd_leaf"`
}

// Encode is the file's text.
func (c Config) Encode() string {
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		panic("lease: " + err.Error()) // strings are always JSON
	}
	return string(text) + "\n"
}

// Open reads a file.
func Open(file string) (Config, error) {
	var c Config
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, fmt.Errorf("cannot read %s: %w", file, err)
	}
	if c.Host == "" || c.Key == "" || len(c.Etcd) == 0 {
		return c, fmt.Errorf("cannot use %s: host, key and etcd must be given", file)
	}
	return c, nil
}
