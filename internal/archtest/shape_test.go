package archtest

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// Limits of shape. The aim is functions of 10 lines at the median and 40 at the
// 90th percentile; what sets tired code apart is its tail, so that is bounded.
const (
	maxFuncLines = 70
	maxFileLines = 500
	medianLines  = 12
	p90Lines     = 40
)

func TestFunctionsAndFilesStaySmall(t *testing.T) {
	var lengths []int
	for _, f := range goFiles(t) {
		if isTest(f.path) {
			continue
		}
		if n := bytes.Count(f.data, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines; which two things is it?", f.path, n)
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, f.path, f.data, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := fset.Position(fn.Body.Rbrace).Line - fset.Position(fn.Pos()).Line + 1
			lengths = append(lengths, n)
			if n > maxFuncLines {
				t.Errorf("%s: %s has %d lines, more than %d", f.path, fn.Name.Name, n, maxFuncLines)
			}
		}
	}
	slices.Sort(lengths)
	median, p90 := lengths[len(lengths)/2], lengths[len(lengths)*9/10]
	t.Logf("%d functions: median %d lines, p90 %d, longest %d", len(lengths), median, p90, lengths[len(lengths)-1])
	if median > medianLines || p90 > p90Lines {
		t.Errorf("functions have %d lines at the median and %d at p90; wanted are %d and %d", median, p90, medianLines, p90Lines)
	}
}

// isTest reports whether a file is a test or one of the suites that tests share,
// whose tables of cases may be long.
func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.Contains(name, "test/")
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range goFiles(t) {
		dir := path.Dir(f.path)
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.data, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		want := "Package " + parsed.Name.Name + " "
		if parsed.Name.Name == "main" {
			want = "Command "
		}
		ok := parsed.Doc != nil && strings.HasPrefix(parsed.Doc.Text(), want)
		documented[dir] = documented[dir] || ok
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no file has a comment that begins with \"Package …\" or, for a main package, \"Command …\"", dir)
		}
	}
}

func TestFilesAreFormatted(t *testing.T) {
	for _, f := range goFiles(t) {
		want, err := format.Source(f.data)
		if err != nil {
			t.Fatalf("%s: %v", f.path, err)
		}
		if !bytes.Equal(want, f.data) {
			t.Errorf("%s is not formatted; run gofmt", f.path)
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, f := range goFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.data, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s has an init function: put the program together in one visible place instead", f.path)
			}
		}
	}
}
