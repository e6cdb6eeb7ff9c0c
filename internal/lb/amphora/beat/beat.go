// Package beat is the heartbeat of amphorae: datagrams that say what an amphora
// runs, what it sees of its members and what it has counted.
//
// It guarantees that what Open returns was written by who has the key, and not
// returned before: datagrams are sealed with AES-256-GCM, numbered within a
// start of the agent, and the starts are numbered, too. A receiver that has just
// begun learns the numbers from the agent, over TLS. It takes several keys of one
// amphora, so that a key can be changed while beats arrive.
//
// Counters are totals since the amphora was made, not differences: a datagram
// that is lost loses nothing, one that two controllers receive counts once.
package beat

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Beat is what an amphora says.
type Beat struct {
	Amphora string `json:"amphora"`
	// Boot counts the starts of the agent, Seq the beats since.
	Boot uint64 `json:"boot"`
	Seq  uint64 `json:"seq"`
	// Version and Digest are those of the configuration that has taken effect,
	// 0 and "" before the first.
	Version uint64 `json:"version"`
	Digest  string `json:"digest,omitempty"`
	// Holds says that the VIPs are here.
	Holds bool `json:"holds"`
	// Fault says why this amphora cannot serve, such as HAProxy that does not
	// start; empty when all is well.
	Fault     string              `json:"fault,omitempty"`
	Listeners map[string]Listener `json:"listeners,omitempty"`
	Pools     map[string]Pool     `json:"pools,omitempty"`
}

// Statuses as HAProxy says them; Octavia's meaning stands in the contract, §5.
const (
	Open    = "OPEN"
	Full    = "FULL"
	Up      = "UP"
	Down    = "DOWN"
	Drain   = "DRAIN"
	Maint   = "MAINT"
	NoCheck = "no check"
)

// Listener is a frontend.
type Listener struct {
	Status string `json:"status"` // Open or Full
	Counters
}

// Counters of a listener. All but Active only grow.
type Counters struct {
	BytesIn  uint64 `json:"bytes_in"`
	BytesOut uint64 `json:"bytes_out"`
	Active   uint64 `json:"active_connections"`
	Total    uint64 `json:"total_connections"`
	Errors   uint64 `json:"request_errors"`
}

// Pool is a pool with its members, by id.
type Pool struct {
	Status  string            `json:"status"`  // Up or Down
	Members map[string]string `json:"members"` // Up, Down, Drain, Maint or NoCheck
}

// Faults of datagrams.
var (
	ErrForged = errors.New("it is not sealed with a key of the amphora")
	ErrReplay = errors.New("it is not newer than what arrived before")
)

const (
	magic   = "UB1"
	keyMark = 4
	// maxPlain bounds what a datagram unfolds to.
	maxPlain = 8 << 20
	// MaxDatagram is the most that UDP carries.
	MaxDatagram = 65507
)

// Seal writes a datagram.
func Seal(b *Beat, key []byte) ([]byte, error) {
	plain, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	var small bytes.Buffer
	z, err := flate.NewWriter(&small, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	aead, mark, err := sealer(key)
	if err != nil {
		return nil, err
	}
	head := append([]byte(magic), byte(len(b.Amphora)))
	head = append(append(head, b.Amphora...), mark...)
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	out := aead.Seal(append(bytes.Clone(head), nonce...), nonce, small.Bytes(), head)
	if len(out) > MaxDatagram || len(b.Amphora) > 255 {
		return nil, fmt.Errorf("cannot send a beat of %d bytes, more than %d", len(out), MaxDatagram)
	}
	return out, nil
}

func sealer(key []byte) (cipher.AEAD, []byte, error) {
	if len(key) == 0 {
		return nil, nil, errors.New("there is no key for beats")
	}
	own := sha256.Sum256(append([]byte("updraft beat\x00"), key...))
	mark := sha256.Sum256(own[:])
	block, err := aes.NewCipher(own[:])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, mark[:keyMark], err
}

// header splits a datagram.
func header(data []byte) (amphora string, head, mark, rest []byte, err error) {
	n := len(magic)
	if len(data) < n+1 || string(data[:n]) != magic || len(data) < n+1+int(data[n])+keyMark {
		return "", nil, nil, nil, errors.New("it is no beat")
	}
	end := n + 1 + int(data[n])
	return string(data[n+1 : end]), data[:end+keyMark], data[end : end+keyMark], data[end+keyMark:], nil
}

// unseal opens a datagram with the key that it names.
func unseal(data []byte, keys func(amphora string) [][]byte) (*Beat, error) {
	id, head, mark, rest, err := header(data)
	if err != nil {
		return nil, err
	}
	for _, key := range keys(id) {
		aead, own, err := sealer(key)
		if err != nil || !bytes.Equal(mark, own) || len(rest) < aead.NonceSize() {
			continue
		}
		if small, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], head); err == nil {
			return unfold(id, small)
		}
	}
	return nil, ErrForged
}

func unfold(id string, small []byte) (*Beat, error) {
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(small)), maxPlain))
	if err != nil {
		return nil, err
	}
	var b Beat
	if err := json.Unmarshal(plain, &b); err != nil {
		return nil, err
	}
	if b.Amphora != id {
		return nil, ErrForged
	}
	return &b, nil
}
