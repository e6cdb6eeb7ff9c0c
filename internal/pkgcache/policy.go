package pkgcache

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// hashedRepodata is metadata of an rpm repository whose name begins with the
// checksum of its content.
var hashedRepodata = regexp.MustCompile(`/repodata/[0-9a-f]{32,128}-[^/]+$`)

// immutable reports whether the name of an object fixes its content. A query
// may select anything, so an address with one is not.
func immutable(t target) bool {
	if t.url.RawQuery != "" {
		return false
	}
	p := t.url.Path
	switch path.Ext(p) {
	case ".deb", ".udeb", ".ddeb", ".rpm", ".drpm":
		return true
	}
	return strings.Contains(p, "/by-hash/") || strings.Contains(p, "/pool/") || hashedRepodata.MatchString(p)
}

// worthKeeping reports whether a complete response may be stored.
func worthKeeping(t target, resp *http.Response) bool {
	cc := strings.ToLower(resp.Header.Get("Cache-Control"))
	if strings.Contains(cc, "no-store") || strings.Contains(cc, "private") {
		return false
	}
	// A body that only the end of the connection delimits may be cut off
	// without anybody noticing (RFC 9112, section 8).
	if resp.ContentLength < 0 && resp.ProtoMajor == 1 && len(resp.TransferEncoding) == 0 {
		return false
	}
	// A login page of a hotel or a proxy's apology would stay for ever.
	isHTML := strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/html")
	return !isHTML || !immutable(t)
}

// checksum returns a hash and the sum that it must come to, when the address of
// the object holds one: by-hash/SHA256/… of apt's acquire-by-hash.
func checksum(t target) (h hash.Hash, want []byte) {
	rest, algorithm := path.Split(t.url.Path)
	sum, err := hex.DecodeString(algorithm)
	if err != nil {
		return nil, nil
	}
	switch {
	case strings.HasSuffix(rest, "/by-hash/SHA256/") && len(sum) == sha256.Size:
		return sha256.New(), sum
	case strings.HasSuffix(rest, "/by-hash/SHA512/") && len(sum) == sha512.Size:
		return sha512.New(), sum
	}
	return nil, nil
}

// keptHeader are the response header fields that are stored and passed on.
// Everything else is the upstream's own business.
var keptHeader = []string{"Content-Type", "Content-Encoding", "Etag", "Last-Modified"}

func pick(h http.Header, names []string) http.Header {
	out := http.Header{}
	for _, n := range names {
		if v := h.Get(n); v != "" {
			out.Set(n, v)
		}
	}
	return out
}

// directive reports whether the request's Cache-Control holds the directive.
func directive(h http.Header, name string) bool {
	for _, v := range h.Values("Cache-Control") {
		for d := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(d), name) {
				return true
			}
		}
	}
	return false
}
