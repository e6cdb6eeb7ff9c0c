package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"

	"github.com/updraft-cloud/updraft/internal/verify"
)

// The elements of JUnit's XML as Jenkins, GitLab and others read them (schema:
// the xUnit plug-in's junit-10.xsd; element order matters there).
type (
	suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		Tests   int      `xml:"tests,attr"`
		Fails   int      `xml:"failures,attr"`
		Errors  int      `xml:"errors,attr"`
		Time    string   `xml:"time,attr"`
		Suite   suite    `xml:"testsuite"`
	}
	suite struct {
		Name      string     `xml:"name,attr"`
		Tests     int        `xml:"tests,attr"`
		Fails     int        `xml:"failures,attr"`
		Errors    int        `xml:"errors,attr"`
		Skipped   int        `xml:"skipped,attr"`
		Time      string     `xml:"time,attr"`
		Timestamp string     `xml:"timestamp,attr"`
		Cases     []testCase `xml:"testcase"`
	}
	testCase struct {
		Name      string   `xml:"name,attr"`
		Class     string   `xml:"classname,attr"`
		Time      string   `xml:"time,attr"`
		Skipped   *problem `xml:"skipped"`
		Error     *problem `xml:"error"`
		Failure   *problem `xml:"failure"`
		SystemOut string   `xml:"system-out,omitempty"`
	}
	problem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
	}
)

// JUnit writes the report as JUnit XML: one suite for the cloud, one case for
// each check, whose class is cloud.kind.
func JUnit(w io.Writer, r verify.Report) error {
	c := r.Counts()
	s := suite{
		Name: clean(r.Cloud), Tests: c.Total(), Fails: c.Failed, Errors: c.Errors, Skipped: c.Skipped,
		Time: seconds(r.Duration), Timestamp: r.Start.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, res := range r.Results {
		s.Cases = append(s.Cases, caseOf(r.Cloud, res))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	err := enc.Encode(suites{
		Name: "updraft verify", Tests: s.Tests, Fails: s.Fails, Errors: s.Errors, Time: s.Time, Suite: s,
	})
	if err != nil {
		return fmt.Errorf("cannot write JUnit XML: %w", err)
	}
	_, err = io.WriteString(w, "\n")
	return err
}

func caseOf(cloud string, res verify.Result) testCase {
	tc := testCase{
		Name:  clean(fmt.Sprintf("%s (from %s)", res.Name, res.From)),
		Class: clean(cloud + "." + res.Kind),
		Time:  seconds(res.Duration),
	}
	p := &problem{Message: clean(res.Reason)}
	switch res.Status {
	case verify.Passed:
		tc.SystemOut = clean(res.Reason)
	case verify.Failed:
		p.Type = "failed"
		tc.Failure = p
	case verify.Errored:
		p.Type = "error"
		tc.Error = p
	default:
		tc.Skipped = p
	}
	return tc
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
