package configset

import (
	"encoding/json"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Defaults fills params, a pointer to a struct, with what the default tags of
// its fields say, and returns it. The tags are then the one place where a
// default is written. What is required stays empty.
func Defaults(params any) any {
	var missing diag.List // required fields, which are reported when a user's values are decoded
	spec.Raw{JSON: json.RawMessage("{}")}.Decode(params, "", &missing)
	return params
}
