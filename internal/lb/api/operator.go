package api

import (
	"cmp"
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// listMisc answers with all objects of a kind that belongs to no project.
func listMisc[T any](c *call, k *kind[T], items func() []T) error {
	q, err := parseQuery(c.r, c.s.settings.MaxPage)
	if err != nil {
		return err
	}
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	if q.hasProject {
		return errBadFilter
	}
	all := items()
	return showList(c, k, q, among(k, all))
}

// showMisc answers with one such object. The nil UUID stands for what was deleted.
func showMisc[T any](c *call, k *kind[*T], title string, get func(id string) *T) error {
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	o, err := misc(c, title, get)
	if err != nil {
		return err
	}
	return showOne(c, k, o)
}

func misc[T any](c *call, title string, get func(id string) *T) (*T, *fault) {
	id := c.values[0]
	o := get(id)
	if o == nil || id == model.NilID {
		return nil, notFound(title, id)
	}
	return o, nil
}

// createMisc stores such an object, and answers with it.
func createMisc[T any, P interface {
	*T
	model.Stored
}](c *call, k *kind[P], o P) error {
	if err := c.commit(func(tx *store.Tx) error {
		v := *o
		return tx.Create(P(&v))
	}); err != nil {
		return miscFault(err)
	}
	respond(c, http.StatusCreated, k, o, nil)
	return nil
}

// changeMisc changes such an object as it is when the change is stored, so that
// nothing of another change at the same time is lost, and answers with it.
func changeMisc[T any, P interface {
	*T
	model.Stored
}](c *call, k *kind[P], title string, get func(tx *store.Tx) P, change func(tx *store.Tx, o P) error) error {
	var changed P
	if err := c.commit(func(tx *store.Tx) error {
		old := get(tx)
		if old == nil {
			return notFound(title, c.values[0])
		}
		o := *old
		changed = &o
		if err := change(tx, changed); err != nil {
			return err
		}
		return tx.Update(changed)
	}); err != nil {
		return err
	}
	respond(c, http.StatusOK, k, changed, nil)
	return nil
}

// miscFault makes of a profile that is missing the client's mistake.
func miscFault(err error) error {
	if f := asFault(err); f != nil && f.status == http.StatusNotFound {
		return badRequest("%s", f.text)
	}
	return err
}

func (c *call) deleteMisc(kind model.Kind, title string, there bool) error {
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	if !there || c.values[0] == model.NilID {
		return notFound(title, c.values[0])
	}
	return c.done(c.commit(func(tx *store.Tx) error { return tx.Delete(kind, c.values[0]) }))
}

func (s *Server) listFlavors(c *call) error {
	return listMisc(c, s.operator.flavor, c.snap.Flavors)
}

func (s *Server) showFlavor(c *call) error {
	return showMisc(c, s.operator.flavor, "Flavor", c.snap.Flavor)
}

func (s *Server) createFlavor(c *call) error {
	var in flavorInput
	if err := c.operatorBody(in.create()); err != nil {
		return err
	}
	if c.snap.FlavorProfile(in.profile.v) == nil || in.profile.v == model.NilID {
		return notProfile("Flavor Profile", in.profile.v)
	}
	f := &model.Flavor{ID: model.NewID(), Name: in.name.v, Description: in.description.or(""), Enabled: in.enabledOr(true), FlavorProfileID: in.profile.v}
	return createMisc(c, s.operator.flavor, f)
}

// notProfile is the answer to a profile that is not there: 500 in Octavia.
func notProfile(title, id string) *fault { return missing(title, id) }

// enabledOr is admin_state_up's rule: null is false.
func (in *flavorInput) enabledOr(def bool) bool {
	in.enabled.apply(&def, false)
	return def
}

// operatorBody asks the policy, then reads the body.
func (c *call) operatorBody(fields []field) *fault {
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	return c.body(fields)
}

func (s *Server) updateFlavor(c *call) error {
	var in flavorInput
	if err := c.operatorBody(in.update()); err != nil {
		return err
	}
	if _, err := misc(c, "Flavor", c.snap.Flavor); err != nil {
		return err
	}
	if in.name.null {
		return invalidOption("None", "name")
	}
	get := func(tx *store.Tx) *model.Flavor { return tx.Flavor(c.values[0]) }
	return changeMisc(c, s.operator.flavor, "Flavor", get, func(_ *store.Tx, f *model.Flavor) error {
		in.name.apply(&f.Name, "")
		in.description.apply(&f.Description, "")
		f.Enabled = in.enabledOr(f.Enabled)
		return nil
	})
}

func (s *Server) deleteFlavor(c *call) error {
	return c.deleteMisc(model.KindFlavor, "Flavor", c.snap.Flavor(c.values[0]) != nil)
}

func (s *Server) listFlavorProfiles(c *call) error {
	return listMisc(c, s.operator.flavorProfile, c.snap.FlavorProfiles)
}

func (s *Server) showFlavorProfile(c *call) error {
	return showMisc(c, s.operator.flavorProfile, flavorProfileTitle(c.values[0]), c.snap.FlavorProfile)
}

// flavorProfileTitle is how Octavia writes it: differently for what was deleted.
func flavorProfileTitle(id string) string {
	if id == model.NilID {
		return "Flavor profile"
	}
	return "Flavor Profile"
}

func (s *Server) createFlavorProfile(c *call) error {
	var in profileInput
	if err := c.operatorBody(in.create("flavor_data")); err != nil {
		return err
	}
	if err := checkProfile(&in, in.provider.v, "flavor_data", flavorCapabilities); err != nil {
		return err
	}
	p := &model.FlavorProfile{ID: model.NewID(), Name: in.name.v, ProviderName: in.provider.v, FlavorData: in.data.v}
	return createMisc(c, s.operator.flavorProfile, p)
}

func (s *Server) updateFlavorProfile(c *call) error {
	var in profileInput
	if err := c.operatorBody(in.update("flavor_data")); err != nil {
		return err
	}
	old, err := misc(c, flavorProfileTitle(c.values[0]), c.snap.FlavorProfile)
	if err != nil {
		return err
	}
	if err := in.checkUpdate("flavor_data", old.ProviderName, flavorCapabilities); err != nil {
		return err
	}
	get := func(tx *store.Tx) *model.FlavorProfile { return tx.FlavorProfile(c.values[0]) }
	return changeMisc(c, s.operator.flavorProfile, "Flavor Profile", get, func(tx *store.Tx, p *model.FlavorProfile) error {
		if (in.data.sent || in.provider.sent) && tx.Used(model.KindFlavorProfile, p.ID) {
			return inUse("Flavor profile", p.ID)
		}
		in.name.apply(&p.Name, "")
		in.provider.apply(&p.ProviderName, "")
		in.data.apply(&p.FlavorData, "")
		return nil
	})
}

func (s *Server) deleteFlavorProfile(c *call) error {
	return c.deleteMisc(model.KindFlavorProfile, "Flavor profile", c.snap.FlavorProfile(c.values[0]) != nil)
}

func (s *Server) listZones(c *call) error {
	return listMisc(c, s.operator.zone, c.snap.AvailabilityZones)
}

func (s *Server) showZone(c *call) error {
	return showMisc(c, s.operator.zone, "Availability Zone", c.snap.AvailabilityZone)
}

func (s *Server) createZone(c *call) error {
	var in flavorInput
	if err := c.operatorBody(in.createZone()); err != nil {
		return err
	}
	if c.snap.AvailabilityZoneProfile(in.profile.v) == nil || in.profile.v == model.NilID {
		return notProfile("Availability Zone Profile", in.profile.v)
	}
	if c.snap.AvailabilityZone(in.name.v) != nil {
		return newFault(http.StatusConflict, "A availability zone of %s already exists.", in.name.v)
	}
	if in.name.v == "" {
		return invalidInput("name", "", "Value should have a minimum character requirement of 1")
	}
	z := &model.AvailabilityZone{Name: in.name.v, Description: in.description.or(""), Enabled: in.enabledOr(true), AvailabilityZoneProfileID: in.profile.v}
	return createMisc(c, s.operator.zone, z)
}

func (s *Server) updateZone(c *call) error {
	var in flavorInput
	if err := c.operatorBody(in.updateZone()); err != nil {
		return err
	}
	if _, err := misc(c, "Availability Zone", c.snap.AvailabilityZone); err != nil {
		return err
	}
	get := func(tx *store.Tx) *model.AvailabilityZone { return tx.AvailabilityZone(c.values[0]) }
	return changeMisc(c, s.operator.zone, "Availability Zone", get, func(_ *store.Tx, z *model.AvailabilityZone) error {
		in.description.apply(&z.Description, "")
		z.Enabled = in.enabledOr(z.Enabled)
		return nil
	})
}

func (s *Server) deleteZone(c *call) error {
	return c.deleteMisc(model.KindAvailabilityZone, "Availability Zone", c.snap.AvailabilityZone(c.values[0]) != nil)
}

func (s *Server) listZoneProfiles(c *call) error {
	return listMisc(c, s.operator.zoneProfile, c.snap.AvailabilityZoneProfiles)
}

func (s *Server) showZoneProfile(c *call) error {
	return showMisc(c, s.operator.zoneProfile, "Availability Zone Profile", c.snap.AvailabilityZoneProfile)
}

func (s *Server) createZoneProfile(c *call) error {
	var in profileInput
	if err := c.operatorBody(in.create("availability_zone_data")); err != nil {
		return err
	}
	if err := checkProfile(&in, in.provider.v, "availability_zone_data", zoneCapabilities); err != nil {
		return err
	}
	p := &model.AvailabilityZoneProfile{ID: model.NewID(), Name: in.name.v, ProviderName: in.provider.v, AvailabilityZoneData: in.data.v}
	return createMisc(c, s.operator.zoneProfile, p)
}

func (s *Server) updateZoneProfile(c *call) error {
	var in profileInput
	if err := c.operatorBody(in.update("availability_zone_data")); err != nil {
		return err
	}
	old, err := misc(c, "Availability Zone Profile", c.snap.AvailabilityZoneProfile)
	if err != nil {
		return err
	}
	if err := in.checkUpdate("availability_zone_data", old.ProviderName, zoneCapabilities); err != nil {
		return err
	}
	get := func(tx *store.Tx) *model.AvailabilityZoneProfile { return tx.AvailabilityZoneProfile(c.values[0]) }
	return changeMisc(c, s.operator.zoneProfile, "Availability Zone Profile", get, func(tx *store.Tx, p *model.AvailabilityZoneProfile) error {
		if (in.data.sent || in.provider.sent) && tx.Used(model.KindAvailabilityZoneProfile, p.ID) {
			return inUse("Availability Zone Profile", p.ID)
		}
		in.name.apply(&p.Name, "")
		in.provider.apply(&p.ProviderName, "")
		in.data.apply(&p.AvailabilityZoneData, "")
		return nil
	})
}

func (s *Server) deleteZoneProfile(c *call) error {
	return c.deleteMisc(model.KindAvailabilityZoneProfile, "Availability Zone Profile", c.snap.AvailabilityZoneProfile(c.values[0]) != nil)
}

// checkUpdate refuses null, and data that the provider does not know.
func (in *profileInput) checkUpdate(data, provider string, known []capability) *fault {
	for _, f := range []struct {
		name string
		in   opt[string]
	}{{"name", in.name}, {"provider_name", in.provider}, {data, in.data}} {
		if f.in.null {
			return invalidOption("None", f.name)
		}
	}
	if !in.data.sent && !in.provider.sent {
		return nil
	}
	if !in.data.sent {
		in.data.v = "{}" // what is stored fits the one provider there is
	}
	return checkProfile(in, cmp.Or(in.provider.or(""), provider), data, known)
}
