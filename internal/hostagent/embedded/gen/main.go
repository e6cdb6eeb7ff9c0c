// Command gen builds the programs for hosts for all architectures into the
// directory that package embedded takes them from.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/updraft-cloud/updraft/internal/hostagent/embedded"
)

func main() {
	dir := flag.String("o", "internal/hostagent/embedded/bin", "output directory")
	flag.Parse()
	for _, program := range embedded.Programs() {
		for _, arch := range embedded.Arches() {
			path, err := embedded.Build(context.Background(), *dir, program, arch)
			if err != nil {
				fmt.Fprintln(os.Stderr, "gen:", err)
				os.Exit(1)
			}
			fmt.Println(path)
		}
	}
}
