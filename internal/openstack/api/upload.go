package api

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/retry"
)

// unfinished is the end of the name of an image while it is uploaded. So one of
// the image's own name always has all of its content, and what an upload that
// was cut off left behind is known.
const unfinished = " (updraft upload)"

// upload makes an image.
type upload struct {
	image *Image
	thing *thing
	v     *view
}

// replace uploads the content beside the old image, if there is one, and lets
// the new one take its place: delete the old, rename the new. Cut off in
// between, the next try goes on with what is there.
func (u *upload) replace(ctx context.Context, old object) (object, error) {
	fresh, err := u.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if old != nil {
		if err := u.thing.empty(ctx, old); err != nil {
			return nil, err
		}
		if err := u.thing.erase(ctx, u.v, old); err != nil {
			return nil, err
		}
	}
	named, err := u.patch(ctx, fresh, object{"name": u.image.Name})
	if err != nil {
		return nil, err
	}
	_, send, err := u.thing.diff(ctx, named)
	if err != nil || len(send) == 0 {
		return named, err
	}
	return u.patch(ctx, named, send)
}

// fresh returns an image with all of the content under the name of an upload.
func (u *upload) fresh(ctx context.Context) (object, error) {
	sum, err := sumOf(u.image.File, "")
	if err != nil {
		return nil, fmt.Errorf("cannot upload image %s: %w", u.image.Name, err)
	}
	found, err := u.leftover(ctx, sum)
	if err != nil || found != nil {
		return found, err
	}
	o := u.thing.desired()
	o["name"] = u.image.Name + unfinished
	o["protected"] = false
	var made object
	err = u.v.write(ctx, request{
		service: "image", method: http.MethodPost, path: "images", body: o, out: &made, doing: "make image " + u.image.Name,
	})
	if err != nil {
		return nil, err
	}
	u.v.note(images(), made)
	if err := u.send(ctx, made.text("id")); err != nil {
		return nil, err
	}
	return u.check(ctx, made.text("id"))
}

// leftover returns what an earlier upload left, if it is whole, and deletes it
// otherwise.
func (u *upload) leftover(ctx context.Context, sum checksum) (object, error) {
	list, err := u.v.list(ctx, images())
	if err != nil {
		return nil, err
	}
	var found object
	for _, o := range list {
		if !o.agrees(u.thing.match.with(object{"name": u.image.Name + unfinished})) {
			continue
		}
		whole := o.text("status") == "active" && sum.agrees(o) && o.text("disk_format") == canonical(u.thing.desired()["disk_format"])
		if whole && found == nil {
			found = o
			continue
		}
		if err := u.thing.erase(ctx, u.v, o); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// send uploads the file.
func (u *upload) send(ctx context.Context, id string) error {
	f, err := os.Open(u.image.File)
	if err != nil {
		return fmt.Errorf("cannot upload image %s: %w", u.image.Name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot upload image %s: %w", u.image.Name, err)
	}
	u.v.log(fmt.Sprintf("uploading %d KiB to %s", info.Size()>>10, u.image.Name))
	return u.v.write(ctx, request{
		service: "image", method: http.MethodPut, path: "images/" + id + "/file",
		// The client closes what it has sent; the file is closed here.
		body: io.NewSectionReader(f, 0, info.Size()), unbounded: true,
		header: map[string]string{"Content-Type": "application/octet-stream", "Content-Length": strconv.FormatInt(info.Size(), 10)},
		doing:  "upload image " + u.image.Name,
	})
}

// check looks at what Glance made of it.
func (u *upload) check(ctx context.Context, id string) (object, error) {
	var got object
	r := request{service: "image", path: "images/" + id, out: &got, doing: "read image " + u.image.Name}
	if err := u.v.c.call(ctx, r); err != nil {
		return nil, err
	}
	u.v.note(images(), got)
	if status := got.text("status"); status != "active" {
		return nil, retry.Mark(fmt.Errorf("cannot upload image %s: its status is %s afterwards", u.image.Name, status), retry.Transient)
	}
	sum, err := sumOf(u.image.File, got.text("os_hash_algo"))
	if err != nil {
		return nil, err
	}
	if !sum.agrees(got) {
		return nil, retry.Mark(fmt.Errorf("cannot upload image %s: what arrived has another checksum than the file", u.image.Name), retry.Transient)
	}
	return got, nil
}

// patch changes attributes and properties (RFC 6902, in Glance's dialect: what
// is there is replaced, what is not is added).
func (u *upload) patch(ctx context.Context, got, changed object) (object, error) {
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	var ops []op
	for _, k := range slices.Sorted(maps.Keys(changed)) {
		o := op{"replace", "/" + k, changed[k]}
		if _, there := got[k]; !there {
			o.Op = "add"
		}
		ops = append(ops, o)
	}
	var out object
	err := u.v.write(ctx, request{
		service: "image", method: http.MethodPatch, path: "images/" + got.text("id"), body: ops, out: &out,
		header: map[string]string{"Content-Type": "application/openstack-images-v2.1-json-patch"},
		doing:  "change image " + u.image.Name,
	})
	if err != nil {
		return nil, err
	}
	u.v.note(images(), out)
	return out, nil
}

// checksum is one of a file's content, by an algorithm that Glance knows.
type checksum struct{ algo, value string }

func (c checksum) agrees(image object) bool {
	return image.text("os_hash_algo") == c.algo && image.text("os_hash_value") == c.value
}

// sumOf reads a file. Glance's algorithm is sha512 unless it is configured
// otherwise ([glance_store] hashing_algorithm).
func sumOf(file, algo string) (checksum, error) {
	var h hash.Hash
	switch algo {
	case "", "sha512":
		algo, h = "sha512", sha512.New()
	case "sha256":
		h = sha256.New()
	default:
		return checksum{}, fmt.Errorf("checksums by %s are not known", algo)
	}
	f, err := os.Open(file)
	if err != nil {
		return checksum{}, err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return checksum{}, err
	}
	return checksum{algo, hex.EncodeToString(h.Sum(nil))}, nil
}
