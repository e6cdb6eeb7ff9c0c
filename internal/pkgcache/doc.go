// Package pkgcache is a caching HTTP proxy for package repositories.
//
// It guarantees:
//
//   - One upstream fetch per object, however many clients ask at once. All of
//     them receive the bytes as they arrive; none waits for the whole.
//   - A client that goes away ends nobody else's download. An upstream that
//     breaks off leaves no object behind, and the clients see a short body,
//     never a wrong one.
//   - Objects whose name fixes their content (a .deb, an .rpm, a by-hash index)
//     are fetched once and kept. Everything else is revalidated with the
//     upstream, at most once per [Options.Fresh].
//   - The store survives a crash at any point: an object is there whole, or not
//     at all. It stays below [Options.MaxBytes] by dropping what was used least
//     recently, and never what is being served.
//   - Only hosts in [Options.Hosts] are asked for, also after a redirect, so
//     that the cache is no way into other networks. Nothing that a client sends
//     but the address of the object reaches the upstream, except where a request
//     carries credentials: it is then relayed and nothing of it is kept.
//
// The cache does not verify signatures or checksums of packages: the package
// manager does so end to end. It only refuses to keep what is plainly not the
// object that was asked for.
//
// Clients use it as an ordinary forward proxy (RFC 9112, section 3.2.2, absolute
// form). As TLS cannot be cached, a repository that is only served by https is
// written http://HTTPS///host/path, as with apt-cacher-ng; CONNECT is refused.
//
// # How
//
// An object that is being fetched is a flight: one goroutine writes a temporary
// file, and readers follow its end. When the body is complete the file is synced
// and renamed, then a small metadata file that names it; that second rename is
// the moment from which the object exists. File names are SHA-256 sums of the
// object's address, so no request can name a path. The time of last use is the
// modification time of the metadata file, which works on noatime mounts, too.
package pkgcache
