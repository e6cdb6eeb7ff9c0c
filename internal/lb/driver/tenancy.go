package driver

import "context"

// Tenancy is implemented by drivers of clouds whose objects belong to projects. The
// service's own account sees what belongs to anybody, so it would lend its eyes to
// whoever names an object: before a request uses one, its sender is asked about.
type Tenancy interface {
	// MaySee returns ErrNotFound when the holder of a token does not see an object.
	// Kind is that of [Error]: Port, Subnet, Network, qos_policy, Security Group, or
	// Secret, whose id is a ref; a container counts with all that is in it.
	MaySee(ctx context.Context, token, kind, id string) error
}

// Lender is implemented by a key manager in which owners of secrets say who else may
// read them.
type Lender interface {
	// Lend has the holder of a token let the service read a secret; a container counts
	// with all that is in it. Where the holder may not say that, nothing happens:
	// whether the service may read is found out by reading.
	Lend(ctx context.Context, token, ref string) error
}
