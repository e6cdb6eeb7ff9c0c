package fakehost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// refusal is something that the fake does not know how to do.
type refusal struct{ msg string }

func (r *refusal) Error() string { return "fake host: " + r.msg }

// Refuse returns the error of a command used in a way that the fake does not
// know. It fails the test that meets it, also when the caller swallows it.
func Refuse(c resource.Command, format string, args ...any) error {
	return &refusal{CommandLine(c) + ": " + fmt.Sprintf(format, args...)}
}

// Exit returns the error of a command that ends with a status and a message on
// its standard error.
func Exit(c resource.Command, code int, format string, args ...any) (resource.Output, error) {
	msg := fmt.Sprintf(format, args...)
	return resource.Output{Stderr: []byte(msg + "\n")},
		&resource.ExitError{Command: CommandLine(c), Code: code, Stderr: msg}
}

// Print returns the output of a command that succeeds.
func Print(format string, args ...any) (resource.Output, error) {
	return resource.Output{Stdout: fmt.Appendf(nil, format, args...)}, nil
}

// CommandLine renders a command as typed.
func CommandLine(c resource.Command) string {
	words := []string{c.Name}
	for _, a := range c.Args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"$;&|<>*?()") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// Args are the parsed arguments of a command.
type Args struct {
	Rest []string // what is not an option
	opts map[string][]string
}

// Has reports whether the option was given.
func (a Args) Has(name string) bool { return a.opts[name] != nil }

// Get returns the option's last value, or "".
func (a Args) Get(name string) string {
	if v := a.opts[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// All returns all values of the option.
func (a Args) All(name string) []string { return a.opts[name] }

// ParseArgs parses the arguments in the way of getopt_long(3): options names
// those known, such as "-m", "--system", "--uid=" (the = says that it takes a
// value, as --uid 5, --uid=5 or for short ones -u5). "--" ends the options. An
// unknown option is refused.
func ParseArgs(c resource.Command, options ...string) (Args, error) {
	out := Args{opts: map[string][]string{}}
	for args := slices.Clone(c.Args); len(args) > 0; {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			out.Rest = append(out.Rest, args...)
			break
		}
		if arg == "-" || !strings.HasPrefix(arg, "-") {
			out.Rest = append(out.Rest, arg)
			continue
		}
		name, value, inline := splitOption(arg)
		switch {
		case slices.Contains(options, name) && !inline:
			out.opts[name] = append(out.opts[name], "")
		case slices.Contains(options, name+"=") && inline:
			out.opts[name] = append(out.opts[name], value)
		case slices.Contains(options, name+"=") && len(args) > 0:
			out.opts[name] = append(out.opts[name], args[0])
			args = args[1:]
		default:
			return out, Refuse(c, "unknown option %s", arg)
		}
	}
	return out, nil
}

func splitOption(arg string) (name, value string, inline bool) {
	if strings.HasPrefix(arg, "--") {
		return strings.Cut(arg, "=")
	}
	if len(arg) > 2 {
		return arg[:2], arg[2:], true
	}
	return arg, "", false
}
