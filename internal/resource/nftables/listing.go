package nftables

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

const recordDir = "/var/lib/updraft/nftables"

// record is what was loaded last: digests of the text, and of the listing that
// the kernel gave of it.
type record struct {
	Text    string `json:"text"`
	Listing string `json:"listing"`
}

func (r *Resource) recordPath() string { return path.Join(recordDir, r.Name+".json") }

func (r *Resource) record(h resource.Host) (rec record, err error) {
	data, err := h.ReadFile(r.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err == nil && json.Unmarshal(data, &rec) != nil {
		return record{}, nil //nolint:nilerr // a damaged record is as good as none
	}
	return rec, err
}

func (r *Resource) writeRecord(h resource.Host, rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if old, _ := r.record(h); old == rec {
		return nil
	}
	if err := conffile.MakeDirs(h, recordDir); err != nil {
		return err
	}
	return h.WriteFile(r.recordPath(), data, resource.Access{Mode: 0o600})
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// listing returns the digest of what the kernel lists of the table, "" when
// there is no such table.
func (r *Resource) listing(ctx context.Context, h resource.Host) (string, error) {
	v, err := h.Memo("nftables: "+r.table(), func() (any, error) {
		args := append([]string{"-j", "list", "table"}, strings.Fields(r.table())...)
		out, err := h.Run(ctx, resource.Command{Name: "nft", Args: args, Quiet: true, Reads: true})
		var exit *resource.ExitError
		switch {
		case errors.Is(err, fs.ErrNotExist): // nft is not installed yet
			return "", nil
		case errors.As(err, &exit) && strings.Contains(string(out.Stderr), "No such file or directory"):
			return "", nil
		case err != nil:
			return "", err
		}
		return digestListing(out.Stdout)
	})
	if err != nil {
		return "", err
	}
	return v.(string), nil
}

// digestListing digests a listing (libnftables-json(5): a list of objects of
// one key each) without what moves by itself.
func digestListing(data []byte) (string, error) {
	var doc struct {
		Nftables []map[string]map[string]any `json:"nftables"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return "", fmt.Errorf("cannot read the output of nft: %w", err)
	}
	var objects []any
	for _, object := range doc.Nftables {
		for what, body := range object {
			if what != "metainfo" {
				objects = append(objects, map[string]any{what: still(what, body)})
			}
		}
	}
	text, err := json.Marshal(objects)
	return digest(string(text)), err
}

// still returns an object without what moves by itself.
func still(what string, body map[string]any) any {
	if flags, _ := body["flags"].([]any); what == "set" || what == "map" {
		if slices.Contains(flags, any("dynamic")) || slices.Contains(flags, any("timeout")) {
			delete(body, "elem")
		}
	}
	return stillValue(body)
}

func stillValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			switch k {
			case "handle", "index":
			case "counter", "quota", "last":
				out[k] = withoutCounts(inner)
			default:
				out[k] = stillValue(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = stillValue(inner)
		}
		return out
	default:
		return v
	}
}

// withoutCounts leaves a counter or quota without what it has counted.
func withoutCounts(v any) any {
	body, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, inner := range body {
		if !slices.Contains([]string{"packets", "bytes", "used", "used_unit", "handle"}, k) {
			out[k] = inner
		}
	}
	return out
}
