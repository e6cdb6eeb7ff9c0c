package control

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// Vault keeps what all controllers share. Put answers errLost when the record is
// no longer what Get returned.
type Vault interface {
	Get(ctx context.Context, name string) (data []byte, revision int64, err error) // nil: there is none
	Put(ctx context.Context, name string, data []byte, revision int64) error
}

// ErrLost means that another controller was first.
var ErrLost = errors.New("another controller was first")

// authorityRecord is its name in the vault.
const authorityRecord = "agents-authority"

// Authority issues the certificates by which controllers and agents know each
// other, and the keys of heartbeats. All controllers have the same; at rest it is
// encrypted by age to an identity that is not in the store.
//
// Its replacement has three phases, each of which ends when every agent has heard
// of it: the next authority is trusted; it issues; the former is forgotten. So at
// no time an agent and a controller meet who do not trust each other.
type Authority struct {
	vault    Vault
	identity secret.Identity
	now      func() time.Time

	mu       sync.Mutex
	state    authority
	revision int64
	client   [2]string // certificate and key of controllers
}

// authority is the plain text of the record.
type authority struct {
	Cert, Key         string
	NextCert, NextKey string // trusted, not yet issuing
	Former            string // no longer issuing, still trusted
	// Heartbeat keys are derived from the masters: that of the authority, the
	// next one's, and the former's, of which beats are still taken.
	Master, NextMaster, FormerMaster []byte
	Generation                       int // one more with each phase
	// Own says that a replacement was begun because the authority ends, and not by
	// people, who go on with theirs.
	Own bool
}

// OpenAuthority reads the authority, or makes it.
func OpenAuthority(ctx context.Context, vault Vault, identity secret.Identity, now func() time.Time) (*Authority, error) {
	a := &Authority{vault: vault, identity: identity, now: now}
	for {
		err := a.Refresh(ctx)
		if err != nil || a.revision > 0 {
			return a, err
		}
		fresh, err := newAuthority(now())
		if err != nil {
			return nil, err
		}
		if err := a.put(ctx, fresh); err != nil && !errors.Is(err, ErrLost) {
			return nil, err
		}
	}
}

func newAuthority(now time.Time) (authority, error) {
	ca, err := pki.NewAuthority("updraft load balancers", now)
	if err != nil {
		return authority{}, err
	}
	master := make([]byte, sha256.Size)
	_, _ = rand.Read(master) // never fails
	return authority{Cert: ca.Cert, Key: ca.Key(), Master: master, Generation: 1}, nil
}

// Refresh takes over what another controller changed.
func (a *Authority) Refresh(ctx context.Context) error {
	data, revision, err := a.vault.Get(ctx, authorityRecord)
	if err != nil || data == nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if revision == a.revision {
		return nil
	}
	state, err := a.unseal(data)
	if err != nil {
		return fmt.Errorf("cannot read the agents' certificate authority: %w", err)
	}
	cert, key, err := state.issuer().Issue(amphora.ControllerName, []string{clientName}, a.now())
	if err != nil {
		return err
	}
	a.state, a.revision, a.client = state, revision, [2]string{cert, key}
	return nil
}

// clientName is the name in the certificates of controllers.
const clientName = "controller.updraft.internal"

func (a *Authority) unseal(data []byte) (authority, error) {
	var s authority
	plain, err := a.identity.Unseal(bytes.NewReader(data))
	if err != nil {
		return s, err
	}
	text, err := io.ReadAll(plain)
	if err != nil || json.Unmarshal(text, &s) != nil {
		return s, errors.New("it is damaged")
	}
	return s, nil
}

func (a *Authority) put(ctx context.Context, s authority) error {
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	w, err := a.identity.Seal(&sealed, a.now())
	if err != nil {
		return err
	}
	if _, err := w.Write(plain); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	a.mu.Lock()
	revision := a.revision
	a.mu.Unlock()
	if err := a.vault.Put(ctx, authorityRecord, sealed.Bytes(), revision); err != nil {
		return err
	}
	return a.Refresh(ctx)
}

func (s authority) issuer() pki.Authority { return pki.WithKey(s.Cert, s.Key) }

// Bundle is whom agents and controllers trust.
func (a *Authority) Bundle() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.Cert + a.state.NextCert + a.state.Former
}

// Generation numbers the phases: an agent whose certificate or trust is of an
// earlier one has to hear of the change.
func (a *Authority) Generation() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.Generation
}

// Client returns the certificate of this controller, which is another one when a
// third of its life is left: a controller may run for years.
func (a *Authority) Client() (cert, key string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, near := pki.NearEnd(a.client[0], a.now()); near {
		cert, key, err := a.state.issuer().Issue(amphora.ControllerName, []string{clientName}, a.now())
		if err != nil {
			return "", "", err
		}
		a.client = [2]string{cert, key}
	}
	return a.client[0], a.client[1], nil
}

// Issue makes a certificate of an agent, whose common name and DNS name is the id
// of its amphora.
func (a *Authority) Issue(amphoraID string) (cert, key string, err error) {
	a.mu.Lock()
	issuer := a.state.issuer()
	a.mu.Unlock()
	return issuer.Issue(amphoraID, []string{amphoraID}, a.now())
}

// HeartbeatKey is the key that an amphora shall use for its heartbeats.
func (a *Authority) HeartbeatKey(amphoraID string, version int) []byte {
	return a.HeartbeatKeys(amphoraID, version)[0]
}

// HeartbeatKeys are the keys that beats are taken by: the first is the one to use,
// the others are what an amphora has that has not heard of it yet.
func (a *Authority) HeartbeatKeys(amphoraID string, version int) [][]byte {
	a.mu.Lock()
	masters := [][]byte{a.state.Master, a.state.FormerMaster}
	a.mu.Unlock()
	version = max(version, 1)
	var keys [][]byte
	for _, m := range masters {
		for v := version; v > max(version-2, 0) && m != nil; v-- {
			keys = append(keys, heartbeatKey(m, amphoraID, v))
		}
	}
	return keys
}

// heartbeatKey derives a key (RFC 5869).
func heartbeatKey(master []byte, amphoraID string, version int) []byte {
	key, err := hkdf.Key(sha256.New, master, nil, "updraft-heartbeat\x00"+amphoraID+"\x00"+strconv.Itoa(version), sha256.Size)
	if err != nil {
		panic(err) // only for lengths that a hash cannot give
	}
	return key
}

// Rotating reports in which phase of a replacement the authority is: 0 when there
// is none, 1 the next is trusted, 2 the next issues and the former is trusted.
func (a *Authority) Rotating() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.state.NextCert != "":
		return 1
	case a.state.Former != "":
		return 2
	}
	return 0
}

// Succeed begins a replacement by itself when the authority lives no longer than a
// certificate of it should, or takes that a phase further.
func (a *Authority) Succeed(ctx context.Context) error {
	a.mu.Lock()
	left, err := pki.Left(a.state.Cert, a.now())
	own := a.state.Own || a.state.NextCert+a.state.Former == "" && left < pki.LeafLife
	a.mu.Unlock()
	if err != nil || !own {
		return err
	}
	return a.advance(ctx, true)
}

// Advance begins a replacement or its next phase.
func (a *Authority) Advance(ctx context.Context) error { return a.advance(ctx, false) }

func (a *Authority) advance(ctx context.Context, own bool) error {
	a.mu.Lock()
	s := a.state
	a.mu.Unlock()
	s.Own = own
	switch {
	case s.NextCert != "":
		s.Former, s.Cert, s.Key = s.Cert, s.NextCert, s.NextKey
		s.NextCert, s.NextKey = "", ""
		if s.NextMaster != nil {
			s.FormerMaster, s.Master, s.NextMaster = s.Master, s.NextMaster, nil
		}
	case s.Former != "":
		s.Former, s.FormerMaster, s.Own = "", nil, false
	default:
		next, err := newAuthority(a.now())
		if err != nil {
			return err
		}
		s.NextCert, s.NextKey, s.NextMaster = next.Cert, next.Key, next.Master
	}
	s.Generation++
	return a.put(ctx, s)
}

// Behind counts the amphorae whose agents have not heard of a phase of the
// authority.
func Behind(snap *store.Snapshot, generation int) int {
	n := 0
	for t := range snap.Trees("") {
		for _, a := range t.Amphorae() {
			if a.Status == model.AmphoraAllocated && a.Endpoint != "" && a.CertGeneration != generation {
				n++
			}
		}
	}
	return n
}
