package spec

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field decodes the value of a struct's field and holds it against its tags.
func (d *decoder) field(n *node, f Field, v reflect.Value, path string) {
	d.decode(n, v, path)
	switch n.kind {
	case textKind, numberKind, boolKind:
		d.checkScalar(n, f, path)
	case listKind:
		for i, item := range n.items {
			if item.kind == textKind || item.kind == numberKind {
				d.checkScalar(item, f, join(path, strconv.Itoa(i)))
			}
		}
	case mapKind:
		d.checkKeys(n, f, path)
	}
}

func (d *decoder) checkKeys(n *node, f Field, path string) {
	format, ok := Formats[f.Keys]
	for _, e := range n.entries {
		at := join(path, e.key)
		if ok && !format.ok(e.key) {
			d.errorf(&node{pos: e.pos}, at, "", "%s: %q is not %s", path, shorten(e.key), format.What)
		}
		if (e.val.kind == textKind || e.val.kind == numberKind) && f.Type.Kind() == reflect.Map {
			d.checkScalar(e.val, f, at)
		}
	}
}

func (d *decoder) checkScalar(n *node, f Field, path string) {
	if n.broken || n.kind == textKind && isNumber(f.Type) {
		return // reported
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, n.text) {
		d.errorf(n, path, DidYouMean(n.text, f.Enum), "%s: %s is not one of %s", path, n.shown(), strings.Join(f.Enum, ", "))
	}
	if format, ok := Formats[f.Format]; ok && n.kind == textKind && !format.ok(n.text) {
		d.errorf(n, path, "", "%s: %s is not %s", path, n.shown(), format.What)
	}
	d.checkBounds(n, f, path)
}

func (d *decoder) checkBounds(n *node, f Field, path string) {
	got, err := strconv.ParseFloat(n.text, 64)
	if n.kind != numberKind || err != nil {
		return
	}
	if lowest, err := strconv.ParseFloat(f.Min, 64); err == nil && got < lowest {
		d.errorf(n, path, "", "%s: %s is below %s, the least allowed", path, n.text, f.Min)
	}
	if highest, err := strconv.ParseFloat(f.Max, 64); err == nil && got > highest {
		d.errorf(n, path, "", "%s: %s is above %s, the most allowed", path, n.text, f.Max)
	}
}

func isNumber(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 && isScalar(t) &&
		!reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// scalar decodes a bool, number or text.
func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Bool:
		d.bool(n, v, path)
	case reflect.String:
		d.string(n, v, path)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.int(n, v, path)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.uint(n, v, path)
	case reflect.Float32, reflect.Float64:
		d.float(n, v, path)
	default:
		d.errorf(n, path, "", "%s: cannot be read from a file (%s)", path, v.Type())
	}
}

func (d *decoder) bool(n *node, v reflect.Value, path string) {
	if n.kind != boolKind {
		mend := ""
		if n.kind == textKind && (n.plain || resolve(n.text) == boolKind) {
			switch strings.ToLower(n.text) {
			case "yes", "on", "y", "true":
				mend = "write true"
			case "no", "off", "n", "false":
				mend = "write false"
			}
		}
		d.want(n, path, "true or false", mend)
		return
	}
	v.SetBool(strings.EqualFold(n.text, "true"))
}

// string decodes text. A number is taken as the text that was written, unless
// readers of YAML disagree about what it says.
func (d *decoder) string(n *node, v reflect.Value, path string) {
	switch {
	case n.kind == textKind, n.kind == numberKind && plainNumber.MatchString(n.text):
		v.SetString(n.text)
	case n.kind == numberKind:
		d.errorf(n, path, fmt.Sprintf("put it in quotes: %q", n.text), "%s: %s without quotes is read as different numbers by different readers of YAML", path, n.text)
	case n.kind == boolKind:
		d.want(n, path, "text", fmt.Sprintf("put it in quotes: %q", n.text))
	default:
		d.want(n, path, "text", "")
	}
}

// integer returns the digits of a whole number with their base, or reports.
func (d *decoder) integer(n *node, path string) (string, bool) {
	switch {
	case n.kind == numberKind && hasLeadingZero(n.text):
		d.errorf(n, path, "remove the leading zeros", "%s: %s is read as octal by some readers of YAML and as decimal by others", path, n.text)
		return "", false
	case n.kind == numberKind && intForm.MatchString(n.text):
		return n.text, true
	case n.kind == textKind && !n.plain && intForm.MatchString(n.text):
		d.want(n, path, "a whole number", "remove the quotes")
	default:
		d.want(n, path, "a whole number", "")
	}
	return "", false
}

func (d *decoder) int(n *node, v reflect.Value, path string) {
	text, ok := d.integer(n, path)
	if !ok {
		return
	}
	i, err := strconv.ParseInt(text, 0, v.Type().Bits())
	if err != nil {
		d.errorf(n, path, "", "%s: %s is out of range", path, n.text)
		return
	}
	v.SetInt(i)
}

func (d *decoder) uint(n *node, v reflect.Value, path string) {
	text, ok := d.integer(n, path)
	if !ok {
		return
	}
	i, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 0, v.Type().Bits())
	if err != nil {
		d.errorf(n, path, "", "%s: %s is out of range", path, n.text)
		return
	}
	v.SetUint(i)
}

func (d *decoder) float(n *node, v reflect.Value, path string) {
	if n.kind != numberKind {
		d.want(n, path, "a number", "")
		return
	}
	if i, err := strconv.ParseInt(n.text, 0, 64); err == nil && !hasLeadingZero(n.text) {
		v.SetFloat(float64(i))
		return
	}
	f, err := strconv.ParseFloat(n.text, v.Type().Bits())
	if err != nil {
		d.errorf(n, path, "", "%s: %s is not a finite number", path, n.text)
		return
	}
	v.SetFloat(f)
}
