package main

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// positions knows on which line of a TOML text each key stands, by its path:
// "portal.url", "callers[1].key", "callers[1]".
type positions struct {
	lines map[string]int
	exprs []int // the first line of every expression, ascending
	total int   // lines in the text
}

// findPositions reads text. A text that is not TOML yields the fault instead.
func findPositions(text []byte) (*positions, *fault) {
	at := &positions{lines: map[string]int{}, total: strings.Count(string(text), "\n") + 1}
	var p unstable.Parser
	p.Reset(text)
	table, counts := "", map[string]int{}
	for p.NextExpression() {
		e := p.Expression()
		var path []string
		line := 0
		for keys := e.Key(); keys.Next(); {
			n := keys.Node()
			if line == 0 {
				line = p.Shape(n.Raw).Start.Line
			}
			path = append(path, string(n.Data))
		}
		at.exprs = append(at.exprs, line)
		switch e.Kind {
		case unstable.Table:
			table = strings.Join(path, ".")
			at.add(table, line)
		case unstable.ArrayTable:
			name := strings.Join(path, ".")
			table = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			at.add(table, line)
			at.add(name, line)
		case unstable.KeyValue:
			key := strings.Join(path, ".")
			if table != "" {
				key = table + "." + key
			}
			at.add(key, line)
		}
	}
	if err := p.Error(); err != nil {
		line := 0
		if pe, ok := err.(*unstable.ParserError); ok && len(pe.Highlight) > 0 {
			line = p.Shape(p.Range(pe.Highlight)).Start.Line
		}
		return nil, &fault{Line: line, Text: "is not TOML: " + syntaxRemedy(strings.TrimPrefix(err.Error(), "toml: "))}
	}
	return at, nil
}

// syntaxRemedy adds to what the parser says of a text what its writer should have written,
// where the mistake is a common one.
func syntaxRemedy(text string) string {
	switch {
	case strings.Contains(text, "at start of value"):
		return text + `; write text in straight quotes, as name = "alice"`
	case strings.Contains(text, "strings cannot have new lines"):
		return text + "; close the quotes on the line where they begin"
	case strings.Contains(text, "'=' after key"):
		return text + `; write name = "alice"`
	}
	return text
}

func (at *positions) add(path string, line int) {
	if _, ok := at.lines[path]; !ok {
		at.lines[path] = line
	}
}

// has reports whether path stands in the text.
func (at *positions) has(path string) bool {
	_, ok := at.lines[path]
	return ok
}

// line returns where path stands, else where the table stands that it is
// missing from, else 0.
func (at *positions) line(path string) int {
	for {
		if n, ok := at.lines[path]; ok {
			return n
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

// blank overwrites the expression that line is in with spaces, in place, and
// reports whether there was one. All other lines stay where they are.
func (at *positions) blank(text []byte, line int) bool {
	first, last := 0, at.total
	for _, n := range at.exprs {
		if n <= line {
			first = n
		} else {
			last = n - 1
			break
		}
	}
	if first == 0 {
		return false
	}
	n, changed := 1, false
	for i, c := range text {
		if c == '\n' {
			n++
		} else if n >= first && n <= last {
			changed = changed || c != ' '
			text[i] = ' '
		}
	}
	return changed
}
