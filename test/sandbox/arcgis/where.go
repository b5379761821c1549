package arcgis

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// truth is SQL's: comparing with NULL is neither true nor false.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// condition is a compiled where clause.
type condition func(values []any) truth

// operand is a column or a literal of a where clause.
type operand func(values []any) any

var errWhere = errors.New("'where' clause is invalid")

// parseWhere compiles the subset of SQL that ArcGIS's standardized queries allow
// on these layers: comparisons, LIKE, IN, BETWEEN, IS NULL, AND, OR, NOT,
// UPPER and LOWER, date and timestamp literals.
func parseWhere(text string, l *layer) (condition, error) {
	tokens, err := scanWhere(text)
	if err != nil {
		return nil, err
	}
	p := &whereParser{tokens: tokens, layer: l}
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.pos != len(p.tokens) {
		return nil, fmt.Errorf("%w: unexpected %q", errWhere, p.peek())
	}
	return c, nil
}

// scanWhere cuts a clause into words, numbers, 'strings' and symbols.
func scanWhere(text string) ([]string, error) {
	var tokens []string
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		start := i
		switch {
		case unicode.IsSpace(r):
			i += size
			continue
		case r == '\'':
			for i++; ; i++ {
				if i >= len(text) {
					return nil, fmt.Errorf("%w: a string has no end", errWhere)
				}
				if text[i] == '\'' {
					if i+1 < len(text) && text[i+1] == '\'' {
						i++
						continue
					}
					i++
					break
				}
			}
		case r == '"':
			end := strings.IndexByte(text[i+1:], '"')
			if end < 0 {
				return nil, fmt.Errorf("%w: a name has no end", errWhere)
			}
			name := text[i+1 : i+1+end]
			if first, _ := utf8.DecodeRuneInString(name); !unicode.IsLetter(first) {
				return nil, fmt.Errorf("%w: %q is no name", errWhere, name)
			}
			tokens = append(tokens, name)
			i += end + 2
			continue
		case unicode.IsDigit(r) || r == '.' || r == '-':
			for i += size; i < len(text) && strings.IndexByte("0123456789.eE", text[i]) >= 0; i++ {
			}
		case unicode.IsLetter(r) || r == '_':
			for i < len(text) {
				r, size := utf8.DecodeRuneInString(text[i:])
				if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
					break
				}
				i += size
			}
		default:
			i += size
			if two := text[start:min(start+2, len(text))]; two == "<>" || two == "<=" || two == ">=" || two == "!=" {
				i = start + 2
			}
		}
		tokens = append(tokens, text[start:i])
		if len(tokens) > 10_000 {
			return nil, fmt.Errorf("%w: too long", errWhere)
		}
	}
	return tokens, nil
}

type whereParser struct {
	tokens []string
	pos    int
	depth  int
	layer  *layer
}

func (p *whereParser) peek() string {
	if p.pos < len(p.tokens) {
		return p.tokens[p.pos]
	}
	return ""
}

func (p *whereParser) next() string {
	t := p.peek()
	p.pos++
	return t
}

// accept takes the next token if it is this word.
func (p *whereParser) accept(word string) bool {
	if strings.EqualFold(p.peek(), word) {
		p.pos++
		return true
	}
	return false
}

func (p *whereParser) or() (condition, error) {
	if p.depth++; p.depth > 100 {
		return nil, fmt.Errorf("%w: too deep", errWhere)
	}
	defer func() { p.depth-- }()
	left, err := p.and()
	for err == nil && p.accept("OR") {
		var right condition
		if right, err = p.and(); err == nil {
			l := left
			left = func(v []any) truth { return max(l(v), right(v)) }
		}
	}
	return left, err
}

func (p *whereParser) and() (condition, error) {
	left, err := p.not()
	for err == nil && p.accept("AND") {
		var right condition
		if right, err = p.not(); err == nil {
			l := left
			left = func(v []any) truth { return min(l(v), right(v)) }
		}
	}
	return left, err
}

func (p *whereParser) not() (condition, error) {
	negate := false
	for p.accept("NOT") {
		negate = !negate
	}
	var c condition
	var err error
	if p.accept("(") {
		if c, err = p.or(); err == nil && !p.accept(")") {
			err = fmt.Errorf("%w: a parenthesis is not closed", errWhere)
		}
	} else {
		c, err = p.comparison()
	}
	if err != nil {
		return nil, err
	}
	return negated(c, negate), nil
}

func negated(c condition, really bool) condition {
	if !really {
		return c
	}
	return func(v []any) truth { return yes - c(v) }
}

func (p *whereParser) comparison() (condition, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	not := p.accept("NOT")
	switch op := strings.ToUpper(p.next()); op {
	case "=", "<>", "!=", "<", "<=", ">", ">=":
		right, err := p.operand()
		if err != nil || not {
			return nil, fmt.Errorf("%w after %s", errWhere, op)
		}
		return compareWith(left, op, right), nil
	case "LIKE":
		pattern := p.next()
		if !strings.HasPrefix(pattern, "'") {
			return nil, fmt.Errorf("%w: LIKE needs a string", errWhere)
		}
		like := likePattern(unquote(pattern))
		return negated(func(v []any) truth {
			s, ok := left(v).(string)
			if !ok {
				return unknown
			}
			return truthOf(like.MatchString(s))
		}, not), nil
	case "IN":
		return p.in(left, not)
	case "BETWEEN":
		low, err := p.operand()
		if err != nil || !p.accept("AND") {
			return nil, fmt.Errorf("%w: BETWEEN", errWhere)
		}
		high, err := p.operand()
		if err != nil {
			return nil, err
		}
		from, to := compareWith(left, ">=", low), compareWith(left, "<=", high)
		return negated(func(v []any) truth { return min(from(v), to(v)) }, not), nil
	case "IS":
		not := p.accept("NOT")
		if !p.accept("NULL") {
			return nil, fmt.Errorf("%w: IS", errWhere)
		}
		return func(v []any) truth { return truthOf((left(v) == nil) != not) }, nil
	default:
		return nil, fmt.Errorf("%w: unexpected %q", errWhere, op)
	}
}

func (p *whereParser) in(left operand, not bool) (condition, error) {
	if !p.accept("(") {
		return nil, fmt.Errorf("%w: IN", errWhere)
	}
	var list []condition
	for {
		item, err := p.operand()
		if err != nil {
			return nil, err
		}
		list = append(list, compareWith(left, "=", item))
		if p.accept(")") {
			break
		}
		if !p.accept(",") {
			return nil, fmt.Errorf("%w: IN", errWhere)
		}
	}
	return negated(func(v []any) truth {
		best := no
		for _, c := range list {
			best = max(best, c(v))
		}
		return best
	}, not), nil
}

func (p *whereParser) operand() (operand, error) {
	t := p.next()
	switch {
	case t == "":
		return nil, fmt.Errorf("%w: it ends too early", errWhere)
	case t[0] == '\'':
		s := unquote(t)
		return func([]any) any { return s }, nil
	case strings.IndexByte("0123456789.-", t[0]) >= 0:
		n, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no number", errWhere, t)
		}
		return func([]any) any { return n }, nil
	case (strings.EqualFold(t, "timestamp") || strings.EqualFold(t, "date")) && strings.HasPrefix(p.peek(), "'"):
		text := unquote(p.next())
		for _, form := range []string{"2006-01-02 15:04:05", "2006-01-02"} {
			if when, err := time.Parse(form, text); err == nil {
				ms := when.UnixMilli()
				return func([]any) any { return ms }, nil
			}
		}
		return nil, fmt.Errorf("%w: %q is no date", errWhere, text)
	case strings.EqualFold(t, "UPPER") || strings.EqualFold(t, "LOWER"):
		if !p.accept("(") {
			return nil, fmt.Errorf("%w: %s", errWhere, t)
		}
		inner, err := p.operand()
		if err != nil || !p.accept(")") {
			return nil, fmt.Errorf("%w: %s", errWhere, t)
		}
		change := strings.ToUpper
		if strings.EqualFold(t, "LOWER") {
			change = strings.ToLower
		}
		return func(v []any) any {
			if s, ok := inner(v).(string); ok {
				return change(s)
			}
			return nil
		}, nil
	}
	i := p.layer.index(t)
	if i < 0 {
		return nil, fmt.Errorf("%w: there is no field %q", errWhere, t)
	}
	return func(v []any) any { return v[i] }, nil
}

func compareWith(left operand, op string, right operand) condition {
	return func(v []any) truth {
		order, ok := compare(left(v), right(v))
		if !ok {
			return unknown
		}
		switch op {
		case "=":
			return truthOf(order == 0)
		case "<":
			return truthOf(order < 0)
		case "<=":
			return truthOf(order <= 0)
		case ">":
			return truthOf(order > 0)
		case ">=":
			return truthOf(order >= 0)
		}
		return truthOf(order != 0)
	}
}

// compare orders two values; ok is false if either is NULL or they are of different kinds.
func compare(a, b any) (order int, ok bool) {
	if s, isText := a.(string); isText {
		t, ok := b.(string)
		return strings.Compare(s, t), ok
	}
	x, ok1 := number(a)
	y, ok2 := number(b)
	if !ok1 || !ok2 {
		return 0, false
	}
	switch {
	case x < y:
		return -1, true
	case x > y:
		return 1, true
	}
	return 0, true
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func unquote(t string) string { return strings.ReplaceAll(t[1:len(t)-1], "''", "'") }

// likePattern turns % and _ into a regular expression.
func likePattern(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("(?s)^")
	for _, r := range pattern {
		switch r {
		case '%':
			b.WriteString(".*")
		case '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String())
}
