package guard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// Config is what a guard has to know, as it lies on its host.
type Config struct {
	Host string `json:"host"`
	// Listen is where checks are answered, with the certificate Leaf.
	Listen string `json:"listen"`
	Leaf   string `json:"leaf"`
	CA     string `json:"ca"`
	// Etcd are URLs for its clients, the host's own first; EtcdLeaf is what the
	// guard shows there.
	Etcd     []string `json:"etcd"`
	EtcdLeaf string   `json:"etcd_leaf"`
	// The server's: see [Server].
	Socket  string `json:"socket"`
	Data    string `json:"data"`
	PIDFile string `json:"pid_file"`
	Order   string `json:"order"`
	// Leaving is the file that says that the server is about to end; see [Leave].
	Leaving string `json:"leaving"`
}

// Server is the configuration's.
func (c Config) Server() Server {
	return Server{Host: c.Host, Socket: c.Socket, Data: c.Data, PIDFile: c.PIDFile, Order: c.Order}
}

// Encode is the file's text.
func (c Config) Encode() string {
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		panic("guard: " + err.Error()) // strings are always JSON
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
	if c.Host == "" || c.Listen == "" || len(c.Etcd) == 0 {
		return c, fmt.Errorf("cannot use %s: host, listen and etcd must be given", file)
	}
	return c, nil
}
