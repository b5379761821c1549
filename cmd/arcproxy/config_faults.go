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
	File  string
	List  []fault
	Files files // that were read
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
// without the expressions that were at fault, so that all are found at once. without
// are their lines.
func decode(text []byte, at *positions) (_ file, list []fault, without map[int]bool) {
	without = map[int]bool{}
	text = slices.Clone(text)
	for range 100 {
		var f file
		d := toml.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err := d.Decode(&f)
		if err == nil {
			return f, list, without
		}
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			for _, e := range strict.Errors {
				row, _ := e.Position()
				list = append(list, fault{row, strings.Join(e.Key(), "."), "there is no such key; see config.example.toml for those there are"})
			}
			return f, list, without
		}
		e, ok := errors.AsType[*toml.DecodeError](err)
		if !ok {
			return f, append(list, fault{Text: err.Error()}), without
		}
		row, _ := e.Position()
		list = append(list, fault{row, strings.Join(e.Key(), "."), decodeRemedy(e)})
		if isDoubled(e) && undouble(text, row) {
			continue
		}
		if !at.blank(text, row) {
			return f, list, without
		}
		without[row] = true
	}
	return file{}, list, without
}

// decodeRemedy turns what go-toml says of a value into what its writer can use.
func decodeRemedy(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	if got, want, ok := strings.Cut(text, " into struct field "); ok {
		got = strings.TrimPrefix(got, "cannot decode TOML ")
		_, want, _ = strings.Cut(want, " of type ")
		switch want {
		case "*string", "string":
			want = "a string, in quotes,"
		case "[]string":
			want = `a list, as ["…", "…"],`
		case "bool", "*bool":
			want = "true or false, without quotes,"
		case "int", "float64":
			want = "a number, without quotes,"
		}
		return fmt.Sprintf("a TOML %s stands where %s belongs", got, want)
	}
	if isDoubled(e) {
		return "stands in double brackets, which are for what there may be several of; write one pair"
	}
	return text
}

// isDoubled reports whether a table that there is one of stands in double brackets.
func isDoubled(e *toml.DecodeError) bool {
	return strings.HasPrefix(e.Error(), "toml: cannot store an array table in a ")
}

// undouble takes one pair of a line's brackets away, in place, so that the keys below
// are still those of its table.
func undouble(text []byte, row int) bool {
	for range row - 1 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	from, to := bytes.Index(line, []byte("[[")), bytes.Index(line, []byte("]]"))
	if from < 0 || to < from {
		return false
	}
	line[from], line[to+1] = ' ', ' '
	return true
}
