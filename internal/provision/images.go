package provision

import (
	"context"
	"encoding/json"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/image/testvm"
)

// ContainerImage is a container image that this computer builds and keeps. It
// is a [Service].
type ContainerImage struct {
	Builder oci.Builder
	Recipe  oci.Recipe
}

// Digest implements [engine.Body].
func (i ContainerImage) Digest() string { return i.Recipe.Digest() }

// Removal implements [engine.Body]. Images are shared between clouds.
func (ContainerImage) Removal() json.RawMessage { return nil }

// Observe implements [Service].
func (i ContainerImage) Observe(ctx context.Context) (drift.Report, error) {
	return i.Builder.Observe(ctx, i.Recipe)
}

// Ensure implements [Service].
func (i ContainerImage) Ensure(ctx context.Context, log func(string, ...any)) error {
	return i.Builder.Ensure(ctx, i.Recipe, log)
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
