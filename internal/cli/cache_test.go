package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/image/oci"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
)

// What updraft keeps was once looked for in one place by one command and in another
// by the next, so that a benchmark with an empty cache found everything there.
func TestEverythingThatCanBeHadAgainIsInOneCache(t *testing.T) {
	t.Run("that of the user's environment", func(t *testing.T) {
		dir := t.TempDir()
		t.Setenv("XDG_CACHE_HOME", dir)
		a := &app{stateDir: t.TempDir()}
		for what, got := range map[string]string{
			"packages": a.packagePool(), "images": a.images().Dir, "machines": a.labOptions().CacheDir,
		} {
			if !strings.HasPrefix(got, filepath.Join(dir, "updraft")+"/") {
				t.Errorf("%s are kept in %s", what, got)
			}
		}
	})
	t.Run("a relative path does not count", func(t *testing.T) {
		t.Setenv("XDG_CACHE_HOME", "here")
		if dir := (&app{stateDir: t.TempDir()}).cacheDir(); !filepath.IsAbs(dir) {
			t.Errorf("the cache is %s", dir)
		}
	})
	t.Run("without one, root's is where packages know it", func(t *testing.T) {
		if filepath.Dir(oci.DefaultDir) != rootCache || filepath.Dir(lab.DefaultCacheDir) != rootCache {
			t.Errorf("defaults are %s, %s and %s", rootCache, oci.DefaultDir, lab.DefaultCacheDir)
		}
	})
}
