package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/updraft-cloud/updraft/internal/retry"
)

// Error is an answer of the API that is no success.
type Error struct {
	Status int
	// Message is what the API said, cut to a length for people.
	Message string
	// Request is the ID by which the request is found in the services' logs; it
	// may be empty.
	Request string
}

// Error renders status, message and request.
func (e *Error) Error() string {
	status := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	s := "the API answers " + status
	// HAProxy and Python's servers begin their pages with the status, too.
	if said := strings.TrimSpace(strings.TrimPrefix(e.Message, status)); said != "" {
		s += ": " + said
	}
	if e.Request != "" {
		s += " (" + e.Request + ")"
	}
	return s
}

// class returns what an answer allows. A conflict or a thing that is gone means
// that the world is not as it was observed, so it is looked at again.
func (e *Error) class() retry.Class {
	switch e.Status {
	case http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return retry.Transient
	}
	if e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented {
		return retry.Transient
	}
	return retry.Permanent
}

// statusOf returns the status that the API answered with, or 0.
func statusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// Explain turns an error of gophercloud's typed packages into one of this
// package, for callers that use [Client.Service].
func (c *Client) Explain(ctx context.Context, doing string, err error) error {
	return c.wrap(ctx, doing, err)
}

// wrap says what could not be done and why, and classifies it.
func (c *Client) wrap(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	var answer gophercloud.ErrUnexpectedResponseCode
	var final error
	class := retry.Transient
	switch {
	case errors.As(original(err), &answer):
		e := &Error{Status: answer.Actual, Message: c.redact(message(answer.Body)), Request: requestID(answer.ResponseHeader)}
		final, class = e, e.class()
	case errors.Is(err, context.DeadlineExceeded):
		final = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case ctx.Err() != nil:
		return fmt.Errorf("cannot %s: %w", doing, ctx.Err())
	default:
		final = errors.New(c.redact(reason(err)))
	}
	return retry.Mark(fmt.Errorf("cannot %s: %w", doing, final), class)
}

// wrapStatus is wrap for an answer that did not come through gophercloud.
func (c *Client) wrapStatus(doing string, e *Error) error {
	return retry.Mark(fmt.Errorf("cannot %s: %w", doing, e), e.class())
}

// original returns what went wrong beneath gophercloud's accounts of getting a
// new token, which do not unwrap.
func original(err error) error {
	var after *gophercloud.ErrErrorAfterReauthentication
	if errors.As(err, &after) && after.ErrOriginal != nil {
		err = after.ErrOriginal
	}
	var unable *gophercloud.ErrUnableToReauthenticate
	if errors.As(err, &unable) && unable.ErrReauth != nil {
		err = unable.ErrReauth
	}
	if answer, ok := errors.AsType[*gophercloud.ErrUnexpectedResponseCode](err); ok {
		return *answer
	}
	return err
}

// reason drops the method and URL that net/http puts in front.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

func (c *Client) redact(s string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, password := range c.hidden {
		s = strings.ReplaceAll(s, password, "[secret]")
	}
	if token := c.provider.Token(); token != "" {
		s = strings.ReplaceAll(s, token, "[token]")
	}
	return s
}

func requestID(h http.Header) string {
	return cmp.Or(h.Get("X-Openstack-Request-Id"), h.Get("X-Compute-Request-Id"))
}

// maxMessage is how much of an answer is shown, in bytes.
const maxMessage = 300

// message returns what a service's answer says to people. Each service has its
// own form: {"error": {"message": …}} (Keystone), {"NeutronError": {…}},
// {"badRequest": {…}} (Nova), {"errors": [{"detail": …}]} (Placement), a page of
// HTML (Glance, HAProxy).
func message(body []byte) string {
	var doc map[string]json.RawMessage
	text := ""
	if json.Unmarshal(body, &doc) == nil {
		for _, raw := range doc {
			text = cmp.Or(text, inner(raw))
		}
	} else {
		text = regexp.MustCompile(`(?s)<head>.*</head>|<[^>]*>`).ReplaceAllString(string(body), " ")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

func inner(raw json.RawMessage) string {
	var one struct{ Message, Detail string }
	if json.Unmarshal(raw, &one) == nil {
		return cmp.Or(one.Message, one.Detail)
	}
	var many []struct{ Message, Detail string }
	if json.Unmarshal(raw, &many) == nil && len(many) > 0 {
		return cmp.Or(many[0].Detail, many[0].Message)
	}
	var plain string
	_ = json.Unmarshal(raw, &plain) // then there is nothing to say
	return plain
}

// absentError means that something that is referred to does not exist.
type absentError struct{ what, name string }

func (e *absentError) Error() string { return fmt.Sprintf("%s %s does not exist", e.what, e.name) }

// isAbsent reports whether err says that something that is referred to, or the
// service as a whole, does not exist.
func isAbsent(err error) bool {
	var a *absentError
	return errors.As(err, &a) || errors.Is(err, ErrNoService)
}
