package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A fault is one thing that is wrong with a config file.
type fault struct {
	Line int // 0: the file as a whole
	Key  string
	Text string // what is wrong, and what to write instead
}

// faults is every fault of one file. It is an error that prints a line for each.
type faults struct {
	File string
	List []fault
}

// Error returns a line per fault: file:line: key: what to do.
func (f *faults) Error() string {
	lines := make([]string, len(f.List))
	for i, x := range f.List {
		at := f.File
		if x.Line > 0 {
			at += ":" + strconv.Itoa(x.Line)
		}
		if x.Key != "" {
			at += ": " + x.Key
		}
		lines[i] = at + ": " + x.Text
	}
	return strings.Join(lines, "\n")
}

// decode decodes text, which stops at the first wrong type, again and again
// without the expressions that were at fault, so that all are found at once.
func decode(text []byte, at *positions) (file, []fault) {
	var list []fault
	text = slices.Clone(text)
	for range 100 {
		var f file
		d := toml.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err := d.Decode(&f)
		if err == nil {
			return f, list
		}
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			for _, e := range strict.Errors {
				row, _ := e.Position()
				list = append(list, fault{row, strings.Join(e.Key(), "."), "there is no such key; see config.example.toml for those there are"})
			}
			return f, list
		}
		e, ok := errors.AsType[*toml.DecodeError](err)
		if !ok {
			return f, append(list, fault{Text: err.Error()})
		}
		row, _ := e.Position()
		list = append(list, fault{row, strings.Join(e.Key(), "."), decodeRemedy(e)})
		if !at.blank(text, row) {
			return f, list
		}
	}
	return file{}, list
}

// decodeRemedy turns what go-toml says of a value into what its writer can use.
func decodeRemedy(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	if got, want, ok := strings.Cut(text, " into struct field "); ok {
		got = strings.TrimPrefix(got, "cannot decode TOML ")
		_, want, _ = strings.Cut(want, " of type ")
		if want == "*string" || want == "string" {
			want = "a string, in quotes,"
		}
		return fmt.Sprintf("a TOML %s stands where %s belongs", got, want)
	}
	return text
}
