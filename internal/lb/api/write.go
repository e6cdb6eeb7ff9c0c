package api

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// born makes an object a new one that a controller has yet to make.
func born(b *model.Base) {
	b.ID, b.CreatedAt = model.NewID(), model.Now()
	b.ProvisioningStatus, b.OperatingStatus = model.PendingCreate, model.OpOffline
}

// changing makes an object one that a controller has yet to change.
func changing(b *model.Base) {
	b.UpdatedAt, b.ProvisioningStatus = model.Now(), model.PendingUpdate
}

// lock makes a load balancer PENDING_UPDATE for a change below it.
func (c *call) lock(tx *store.Tx, lb string) error {
	if err := tx.LockForChild(lb); err != nil {
		return err
	}
	return c.stamp(tx, lb, func(*model.LoadBalancer) {})
}

// stamp changes a load balancer and notes which request did so.
func (c *call) stamp(tx *store.Tx, lb string, change func(*model.LoadBalancer)) error {
	l := tx.LoadBalancer(lb).Clone()
	l.RequestID, l.UpdatedAt = c.id, model.Now()
	change(l)
	return tx.Update(l)
}

// lockPool locks the load balancer of a pool, the pool and the listeners that
// send to it, for a change below the pool.
func (c *call) lockPool(tx *store.Tx, p *model.Pool, t *store.Tree) error {
	if err := tx.LockParent(model.KindPool, p.ID); err != nil {
		return err
	}
	if err := c.lock(tx, t.LB.ID); err != nil {
		return err
	}
	touchListeners(tx, p, t)
	return nil
}

// touchListeners makes the listeners that send to a pool PENDING_UPDATE.
func touchListeners(tx *store.Tx, p *model.Pool, t *store.Tree) {
	for _, l := range listenersOf(poolRow{p, t}) {
		tx.SetProvisioning(model.KindListener, l.ID, model.PendingUpdate)
	}
}

// gone is the fault about an object that went away while it was looked at.
func gone(k model.Kind, id string) error { return &store.NotFoundError{Kind: k, ID: id} }

// created answers with a new child.
func created[M based](c *call, k *kind[row[M]], id string, get func(id string) (M, *store.Tree)) error {
	return changed(c, http.StatusCreated, k, id, get)
}

func changed[M based](c *call, status int, k *kind[row[M]], id string, get func(id string) (M, *store.Tree)) error {
	o, t := get(id)
	if t == nil {
		return notFound(k.one, id) // deleted in the meantime, and by force
	}
	respond(c, status, k, row[M]{o, t}, nil)
	return nil
}

// done answers to a deletion, or passes its error on.
func (c *call) done(err error) error {
	if err != nil {
		return err
	}
	c.empty(c.route.status)
	return nil
}

// checkCertificates asks the key manager for what a listener or a pool names.
func (c *call) checkCertificates(refs []string) *fault {
	if c.s.secrets == nil {
		return nil
	}
	var bad []string
	for _, ref := range refs {
		_, err := c.s.secrets.Certificate(c.r.Context(), ref)
		switch {
		case err == nil:
		case errors.Is(err, driver.ErrInvalid):
			return badRequest("%s", err)
		case errors.Is(err, driver.ErrUnavailable):
			return driverFault(err)
		default:
			bad = append(bad, ref)
		}
	}
	return notRetrieved(bad)
}

func notRetrieved(refs []string) *fault {
	if len(refs) == 0 {
		return nil
	}
	return badRequest("Could not retrieve certificate: %s", encode(refs))
}

// checkAuthorities asks for the authority of clients and its revocations, and
// wants the one to be signed by the other.
func (c *call) checkAuthorities(ca, crl string) *fault {
	if ca == "" || c.s.secrets == nil {
		return nil
	}
	var bad []string
	found := map[string][]byte{}
	for _, ref := range []string{ca, crl} {
		if ref == "" {
			continue
		}
		data, err := c.s.secrets.Secret(c.r.Context(), ref)
		switch {
		case errors.Is(err, driver.ErrUnavailable):
			return driverFault(err)
		case err != nil:
			bad = append(bad, ref)
		}
		found[ref] = data
	}
	if len(bad) > 0 {
		return notRetrieved(bad)
	}
	return checkRevocations(found[ca], found[crl])
}

// checkRevocations wants PEM. A secret that is empty comes from a key manager
// that keeps nothing.
func checkRevocations(ca, crl []byte) *fault {
	if len(ca) == 0 {
		return nil
	}
	block, _ := pem.Decode(ca)
	if block == nil {
		return invalid("The client authentication CA certificate is invalid. It must be a valid x509 PEM format certificate. Error: there is no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return invalid("The client authentication CA certificate is invalid. It must be a valid x509 PEM format certificate. Error: %s", err)
	}
	if len(crl) == 0 {
		return nil
	}
	block, _ = pem.Decode(crl)
	if block == nil {
		return invalid("The client authentication certificate revocation list is invalid. It must be a valid x509 PEM format certificate revocation list. Error: there is no PEM block")
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return invalid("The client authentication certificate revocation list is invalid. It must be a valid x509 PEM format certificate revocation list. Error: %s", err)
	}
	if list.CheckSignatureFrom(cert) != nil {
		return invalid("The CRL specified is not valid for client certificate authority reference supplied.")
	}
	return nil
}

// checkSubnets wants the subnets of members to exist.
func (c *call) checkSubnets(ids ...string) *fault {
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if id == "" {
			continue
		}
		if _, err := c.network().Subnet(c.r.Context(), id); err != nil {
			return asNetworkFault(err, "Subnet", id)
		}
	}
	return nil
}

// asNetworkFault is the answer when an object of the network cannot be had.
func asNetworkFault(err error, kind, id string) *fault {
	if errors.Is(err, driver.ErrNotFound) {
		return missing(kind, id)
	}
	if f := driverFault(err); f != nil {
		return f
	}
	return newFault(http.StatusInternalServerError, "Provider '%s' reports error: %s", defaultProvider, strings.TrimSpace(err.Error()))
}
