// Package spec reads the cloud file.
package spec
