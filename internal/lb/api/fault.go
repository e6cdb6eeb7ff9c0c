package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// fault is an answer that is no success. Its text is a contract: clients print
// it, and scripts match it (octavia/common/exceptions.py and WSME).
type fault struct {
	status int
	text   string
	// title makes it one of the faults that are found before a handler runs:
	// those have another shape, see [fault.document].
	title string
	// retry is after how long the same request may succeed; zero when unknown.
	retry time.Duration
}

func (f *fault) Error() string { return f.text }

// The two shapes of faults.
type (
	handlerFault struct {
		Code  string  `json:"faultcode"`
		Text  string  `json:"faultstring"`
		Debug *string `json:"debuginfo"`
	}
	routingFault struct {
		Code        int    `json:"code"`
		Title       string `json:"title"`
		Description string `json:"description"`
	}
)

func (f *fault) document() any {
	if f.title != "" {
		return routingFault{f.status, f.title, f.text}
	}
	code := "Client"
	if f.status >= http.StatusInternalServerError {
		code = "Server"
	}
	return handlerFault{Code: code, Text: f.text}
}

func newFault(status int, format string, args ...any) *fault {
	return &fault{status: status, text: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *fault {
	return newFault(http.StatusBadRequest, format, args...)
}

// invalid is a semantic fault of a body.
func invalid(format string, args ...any) *fault {
	return badRequest("Validation failure: "+format, args...)
}

// invalidInput is a fault of one attribute. Its value is shown as it was sent.
func invalidInput(name string, value any, reason string) *fault {
	return badRequest("Invalid input for field/attribute %s. Value: '%s'. %s", name, shown(value), reason)
}

func invalidOption(value any, option string) *fault {
	return badRequest("%v is not a valid option for %s", value, option)
}

func disabled(option, value string) *fault {
	return badRequest("The selected %s is not allowed in this deployment: %s", option, value)
}

func notFound(resource, id string) *fault {
	return newFault(http.StatusNotFound, "%s %s not found.", resource, id)
}

// missing is an object that a body names and that is not there: unlike one in
// the path this is the client's mistake, 400.
func missing(resource, id string) *fault {
	return badRequest("%s %s not found.", resource, id)
}

func immutable(resource, id string) *fault {
	return newFault(http.StatusConflict, "%s %s is immutable and cannot be updated.", resource, id)
}

func inUse(object, id string) *fault {
	return newFault(http.StatusConflict, "%s %s is in use and cannot be modified.", object, id)
}

// unsupported is what a provider does not do.
func unsupported(provider, format string, args ...any) *fault {
	return newFault(http.StatusNotImplemented, "Provider '%s' does not support a requested option: %s", provider, fmt.Sprintf(format, args...))
}

var errForbidden = newFault(http.StatusForbidden, "Policy does not allow this request to be performed.")

// shown is a value of JSON as Octavia would show it in a fault.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return v
	}
	return string(encode(value))
}

// seconds is the value of Retry-After.
func (f *fault) seconds() string {
	return strconv.Itoa(int((f.retry + time.Second - 1) / time.Second))
}
