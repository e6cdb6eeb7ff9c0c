package provision

import (
	"context"
	"encoding/json"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/testvm"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// ContainerImage is a container image that this computer builds and keeps. It
// is a [Service].
type ContainerImage struct {
	Builder oci.Builder
	Recipe  oci.Recipe
	// Registry is where hosts pull it from, if they do: one that has the image makes
	// building it needless.
	Registry *oci.Registry
}

// Digest implements [engine.Body].
func (i ContainerImage) Digest() string { return i.Recipe.Digest() }

// Removal implements [engine.Body]. Images are shared between clouds.
func (ContainerImage) Removal() json.RawMessage { return nil }

// Observe implements [Service].
func (i ContainerImage) Observe(ctx context.Context) (drift.Report, error) {
	r, err := i.Builder.Observe(ctx, i.Recipe)
	if err != nil || r.Agrees() || i.Registry == nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if there, err := i.Builder.Pushed(ctx, *i.Registry, i.Recipe.Ref("")); err == nil && there.Agrees() {
		return there, nil
	}
	return r, nil // there is no registry yet, or it does not have it
}

// probeTimeout bounds asking a registry that may not be there yet.
const probeTimeout = 3 * time.Second

// Ensure implements [Service].
func (i ContainerImage) Ensure(ctx context.Context, log func(string, ...any)) error {
	return i.Builder.Ensure(ctx, i.Recipe, log)
}

// PushedImage is a container image in the cloud's own registry. It is a [Service].
type PushedImage struct{ ContainerImage }

// Observe implements [Service].
func (i PushedImage) Observe(ctx context.Context) (drift.Report, error) {
	return i.Builder.Pushed(ctx, *i.Registry, i.Recipe.Ref(""))
}

// Ensure implements [Service]. The registry may have lost an image that nobody had
// to build because it was there.
func (i PushedImage) Ensure(ctx context.Context, log func(string, ...any)) error {
	if err := i.ContainerImage.Ensure(ctx, log); err != nil {
		return err
	}
	// What arrived is not sent again.
	return retry.Mark(i.Builder.Push(ctx, *i.Registry, i.Recipe.Ref(""), log), retry.Transient)
}

// ProofImage is the server image that clouds are proven with. It is a [Service].
type ProofImage struct{ testvm.Builder }

// Digest implements [engine.Body].
func (i ProofImage) Digest() string { return i.Tag() }

// Removal implements [engine.Body]. The image is shared between clouds.
func (ProofImage) Removal() json.RawMessage { return nil }

// Ensure implements [Service].
func (i ProofImage) Ensure(ctx context.Context, log func(string, ...any)) error {
	return i.Builder.Ensure(ctx, log)
}
