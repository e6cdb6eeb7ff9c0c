// Command updraft raises a cloud from one file. See `updraft help`.
package main

import (
	"context"
	"os"

	"github.com/updraft-cloud/updraft/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(cli.Main(context.Background(), version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
