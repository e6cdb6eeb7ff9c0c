package oci

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Package is one that an image holds.
type Package struct {
	Name, Version, Arch string
	// Source is the source package, with its version where that differs.
	Source string
}

// packagesOf reads dpkg's own list, in the order of names.
func packagesOf(root string) ([]Package, error) {
	f, err := os.Open(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Package
	fields := map[string]string{}
	flush := func() {
		if fields["Package"] != "" && fields["Package"] != providesPackage && strings.HasSuffix(fields["Status"], " installed") {
			p := Package{Name: fields["Package"], Version: fields["Version"], Arch: fields["Architecture"], Source: fields["Source"]}
			if p.Source == "" {
				p.Source = p.Name
			}
			out = append(out, p)
		}
		clear(fields)
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if sc.Text() == "" {
			flush()
		} else if k, v, ok := strings.Cut(sc.Text(), ": "); ok && k[0] != ' ' {
			fields[k] = v
		}
	}
	flush()
	slices.SortFunc(out, func(a, b Package) int { return strings.Compare(a.Name+":"+a.Arch, b.Name+":"+b.Arch) })
	return out, sc.Err()
}

// The parts of an SPDX 2.3 document that we write
// (https://spdx.github.io/spdx-spec/v2.3/).
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		License       string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		Name       string         `json:"name"`
		ID         string         `json:"SPDXID"`
		Version    string         `json:"versionInfo,omitempty"`
		Download   string         `json:"downloadLocation"`
		Analyzed   bool           `json:"filesAnalyzed"`
		SourceInfo string         `json:"sourceInfo,omitempty"`
		Refs       []spdxExternal `json:"externalRefs,omitempty"`
		Checksums  []spdxChecksum `json:"checksums,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxExternal struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

// spdx returns the image's packages as an SPDX document, a function of the
// image. Package URLs say where known vulnerabilities are looked up.
func spdx(r Recipe, d described, packages []Package) ([]byte, error) {
	const image, document = "SPDXRef-Image", "SPDXRef-DOCUMENT"
	doc := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: document, Name: r.String(),
		Namespace: "https://updraft.cloud/spdx/" + r.Name + "/" + d.config.Hex,
		Creation:  spdxCreation{Created: d.created.Format(time.RFC3339), Creators: []string{"Tool: updraft"}},
		Packages: []spdxPackage{{
			Name: r.Ref(""), ID: image, Version: r.Tag(), Download: "NOASSERTION",
			Checksums: []spdxChecksum{{"SHA256", d.config.Hex}},
		}},
		Relationships: []spdxRelationship{{document, "DESCRIBES", image}},
	}
	for i, p := range packages {
		id := fmt.Sprintf("SPDXRef-Package-%d", i+1)
		doc.Packages = append(doc.Packages, spdxPackage{
			Name: p.Name, ID: id, Version: p.Version, Download: "NOASSERTION", SourceInfo: "built from the source package " + p.Source,
			Refs: []spdxExternal{{"PACKAGE-MANAGER", "purl", purl(r.Suite, p)}},
		})
		doc.Relationships = append(doc.Relationships, spdxRelationship{image, "CONTAINS", id})
	}
	return json.MarshalIndent(doc, "", " ")
}

// purl returns the package's URL (https://github.com/package-url/purl-spec, type deb).
func purl(suite string, p Package) string {
	q := url.Values{"arch": {p.Arch}, "distro": {suite}}
	return "pkg:deb/debian/" + url.PathEscape(p.Name) + "@" + url.PathEscape(p.Version) + "?" + q.Encode()
}
