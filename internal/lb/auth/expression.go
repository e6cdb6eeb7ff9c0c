package auth

import (
	"errors"
	"fmt"
	"strings"
)

// expression reads one rule: "or" binds least, then "and", then "not".
type expression struct {
	*compiler
	tokens []string
}

func (e *expression) all() (check, error) {
	if len(e.tokens) == 0 { // an empty rule is always true in oslo.policy
		return always, nil
	}
	f, err := e.or()
	if err == nil && len(e.tokens) > 0 {
		err = fmt.Errorf("unexpected %q", e.tokens[0])
	}
	return f, err
}

func (e *expression) or() (check, error) { return e.chain("or", e.and, true) }

func (e *expression) and() (check, error) { return e.chain("and", e.not, false) }

// chain reads terms joined by word. The first term whose answer is decides
// settles the whole.
func (e *expression) chain(word string, term func() (check, error), decides bool) (check, error) {
	var terms []check
	for {
		f, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, f)
		if !e.take(word) {
			break
		}
	}
	if len(terms) == 1 {
		return terms[0], nil
	}
	return func(q *question) bool {
		for _, f := range terms {
			if f(q) == decides {
				return decides
			}
		}
		return !decides
	}, nil
}

func (e *expression) not() (check, error) {
	if e.take("not") {
		f, err := e.not()
		return func(q *question) bool { return !f(q) }, err
	}
	if !e.take("(") {
		return e.check()
	}
	f, err := e.or()
	if err == nil && !e.take(")") {
		err = errors.New("a parenthesis is not closed")
	}
	return f, err
}

// take skips the next token if it is word.
func (e *expression) take(word string) bool {
	if len(e.tokens) == 0 || !equalFold(e.tokens[0], word) {
		return false
	}
	e.tokens = e.tokens[1:]
	return true
}

// check reads one "kind:match", "@" (always) or "!" (never).
func (e *expression) check() (check, error) {
	if len(e.tokens) == 0 {
		return nil, errors.New("it ends too early")
	}
	word := e.tokens[0]
	e.tokens = e.tokens[1:]
	switch word {
	case "@":
		return always, nil
	case "!":
		return func(*question) bool { return false }, nil
	}
	kind, match, ok := strings.Cut(word, ":")
	if !ok || match == "" {
		return nil, fmt.Errorf("%q is no check", word)
	}
	if kind == "rule" {
		return e.rule(match)
	}
	return credential(kind, match)
}

// credential compares something of the identity with a constant or with the
// object's project. A project that is unknown equals none.
func credential(kind, match string) (check, error) {
	switch kind {
	case "role":
		return func(q *question) bool { return q.who.has(match) }, nil
	case "is_admin":
		want := equalFold(match, "true")
		return func(q *question) bool { return q.who.Admin == want }, nil
	}
	have, ok := credentials[kind]
	if !ok {
		return nil, fmt.Errorf("%q cannot be checked here", kind)
	}
	if name, ok := strings.CutPrefix(match, "%("); ok {
		if name != "project_id)s" && name != "tenant_id)s" {
			return nil, fmt.Errorf("objects have no %q here", match)
		}
		return func(q *question) bool { return q.project != "" && have(q.who) == q.project }, nil
	}
	return func(q *question) bool { return have(q.who) == match }, nil
}

var credentials = map[string]func(*Identity) string{
	"project_id":   func(id *Identity) string { return id.ProjectID },
	"tenant_id":    func(id *Identity) string { return id.ProjectID },
	"user_id":      func(id *Identity) string { return id.UserID },
	"system_scope": func(id *Identity) string { return id.System },
}

func always(*question) bool { return true }

func equalFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
