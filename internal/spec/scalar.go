package spec

import (
	"regexp"
	"strings"
)

// The core schema of YAML 1.2.2, section 10.3.2. What YAML 1.1 took for
// numbers, booleans or dates besides (1_000, 1:30, yes, 2001-01-01) is text.
var (
	intForm   = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	floatForm = regexp.MustCompile(`^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	// plainNumber is a number that says the same as text: nothing is lost or
	// read in two ways.
	plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
)

// resolve tells what an unquoted scalar is.
func resolve(text string) kind {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nullKind
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return boolKind
	}
	if !strings.ContainsAny(text[:1], "+-.0123456789") {
		return textKind
	}
	if intForm.MatchString(text) || floatForm.MatchString(text) {
		return numberKind
	}
	return textKind
}

// hasLeadingZero reports whether the number is one that YAML 1.1 reads as octal
// and YAML 1.2 as decimal.
func hasLeadingZero(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
}
