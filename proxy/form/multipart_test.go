package form

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// filter runs a body with the boundary b through a Multipart.
func filter(src io.Reader, mapping Mapping) (out string, tokens []string, err error) {
	var b strings.Builder
	m := NewMultipart(src, "b", Options{Mapping: mapping, Token: func(token string) error {
		tokens = append(tokens, token)
		return nil
	}})
	_, err = io.Copy(&b, onlyReader{m})
	return b.String(), tokens, err
}

type onlyReader struct{ io.Reader }

// shout is a mapping that can be seen.
func shout() Mapping {
	return Mapping{
		Bytes:  func(text []byte) []byte { return append(bytes.ToUpper(text), '!') },
		Reader: func(text io.Reader) io.Reader { return io.MultiReader(upper{text}, strings.NewReader("!")) },
	}
}

type upper struct{ io.Reader }

func (u upper) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

// crlf writes lines as they are sent; ␊ and ␍ are a bare LF and a bare CR.
func crlf(s string) string {
	return strings.NewReplacer("\n", "\r\n", "␊", "\n", "␍", "\r").Replace(s)
}

const disposition = "Content-Disposition: form-data; name="

var table = []struct {
	name, in string
	out      string // "": as it came
	tokens   []string
	refused  string // a part of the error
}{
	{"a field", "--b\n" + disposition + "\"a\"\n\n1\n--b--\n", "", nil, ""},
	{"no parts", "--b--", "", nil, ""},
	{"preamble and epilogue", "This is\nmultipart, - --, --\n--b\n" + disposition + "a\n\n1\n--b--and an␊epilogue␍--\n\n", "", nil, ""},
	{"an empty line first", "\n--b\n" + disposition + "a\n\n1\n--b--", "", nil, ""},
	{"padding", "--b \t\n" + disposition + "\"a\"\n\n1\n--b\t\n" + disposition + "\"token\"\n\nE\n--b  \nX: y\n\nx\n--b--", "--b \t\n" + disposition + "\"a\"\n\n1\n--b  \nX: y\n\nx\n--b--", []string{"E"}, ""},
	{"an empty field", "--b\n" + disposition + "a\n\n\n--b--", "", nil, ""},
	{"spellings", "--b\ncOnTeNt-dIsPoSiTiOn:form-data;NAME=\"a\";\nX-Odd :  1\n\n1\n--b--", "", nil, ""},
	{"bytes", "--b\n" + disposition + "\"ü\xff\"\n\n\x00\xff␊␍\n-\n--\n--c\n--b--", "", nil, ""},
	{"a file", "--b\n" + disposition + "\"a\"; filename=\"x--b y.zip\"\nContent-Type: application/zip\n\nPK--b--\n x--b\n--b--", "", nil, ""},
	{"a file called token.zip", "--b\n" + disposition + "\"a\"; filename=\"token\"\n\nname=token; name=\"token\"\n--b--", "", nil, ""},
	{"other names", "--b\n" + disposition + "\"tokens\"\n\n1\n--b\n" + disposition + "\"atoken\"\n\n2\n--b\n" + disposition + "\"to ken\"\n\n3\n--b\n" + disposition + "\"\"\n\n4\n--b--", "", nil, ""},

	{"first", "--b\n" + disposition + "\"token\"\n\nE\n--b\n" + disposition + "\"a\"\n\n1\n--b--", "--b\n" + disposition + "\"a\"\n\n1\n--b--", []string{"E"}, ""},
	{"last", "--b\n" + disposition + "\"a\"\n\n1\n--b\n" + disposition + "\"token\"\n\nE\n--b--\n", "--b\n" + disposition + "\"a\"\n\n1\n--b--\n", []string{"E"}, ""},
	{"between", "--b\nX: y\n\n1\n--b\n" + disposition + "token\n\nE\n--b\nX: y\n\n2\n--b--\n", "--b\nX: y\n\n1\n--b\nX: y\n\n2\n--b--\n", []string{"E"}, ""},
	{"alone", "pre\n--b\n" + disposition + "\"token\"\n\nE\n--b--\nepi", "pre\n--b--\nepi", []string{"E"}, ""},
	{"several", "--b\n" + disposition + "\"Token\"\n\nE\n--b\n" + disposition + "tOKEN\n\n\n--b\n" + disposition + "\"to\u212aen\"\n\n \n--b--", "--b--", []string{"E", "", " "}, ""},
	{"lines in it", "--b\n" + disposition + "\"token\"\n\nE\n\nF␊G\n--b--", "--b--", []string{crlf("E\n\nF␊G")}, ""},
	{"escaped", "--b\n" + disposition + "\"\\to\\ken\"\n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"folded", "--b\nContent-Disposition: form-data;\n\tname=\"token\"\n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"spaces", "--b\ncontent-disposition :\tform-data ; name = \" token\t\" \n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"extended", "--b\nContent-Disposition: form-data; name*=utf-8''%74oken\n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"both ways", "--b\nContent-Disposition: form-data; name*=utf-8''%74oken; name=token\n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"another disposition", "--b\nContent-Disposition: attachment; name=token\n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"as a file", "--b\n" + disposition + "\"token\"; filename=\"key.txt\"\nContent-Type: application/octet-stream\n\nE\n--b--", "--b--", []string{"E"}, ""},
	{"other header lines", "--b\nX: name=a\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n" + disposition + "\"token\"\n\nE\n--b--", "--b--", []string{"E"}, ""},

	{"base64", "--b\n" + disposition + "\"token\"\nContent-Transfer-Encoding: base64\n\nRQ==\n--b--", "", nil, "is encoded"},
	{"quoted-printable", "--b\n" + disposition + "\"token\"\ncontent-transfer-encoding:Quoted-Printable\n\n=45\n--b--", "", nil, "is encoded"},
	{"gzip", "--b\n" + disposition + "\"token\"\nContent-Encoding: gzip\n\nE\n--b--", "", nil, "is encoded"},
	{"UTF-16", "--b\n" + disposition + "\"token\"\nContent-Type: text/plain; charset=utf-16\n\nE\n--b--", "", nil, "is encoded"},
	{"percent", "--b\n" + disposition + "\"%74oken\"\n\nE\n--b--", "", nil, "can be read as token"},
	{"percent twice", "--b\n" + disposition + "\"%2574oken\"\n\nE\n--b--", "", nil, "can be read as token"},
	{"encoded word", "--b\n" + disposition + "\"=?utf-8?B?dG9rZW4=?=\"\n\nE\n--b--", "", nil, "is encoded"},
	{"single quotes", "--b\n" + disposition + "'token'\n\nE\n--b--", "", nil, "malformed"},
	{"single quotes in quotes", "--b\n" + disposition + "\"'token'\"\n\nE\n--b--", "", nil, "can be read as token"},
	{"two names", "--b\n" + disposition + "a; name=token\n\nE\n--b--", "", nil, "can be read as token"},
	{"two names, the other way", "--b\n" + disposition + "token; name=a\n\nE\n--b--", "", nil, "can be read as token"},
	{"an extended name beside", "--b\n" + disposition + "a; name*=utf-8''token\n\nE\n--b--", "", nil, "can be read as token"},
	{"in pieces", "--b\nContent-Disposition: form-data; name*0=tok; name*1=en\n\nE\n--b--", "", nil, "in several pieces"},
	{"extended in UTF-16", "--b\nContent-Disposition: form-data; name*=utf-16''%00t%00o%00k%00e%00n\n\nE\n--b--", "", nil, "is encoded"},
	{"hidden in quotes", "--b\nContent-Disposition: form-data; filename=\"; name=token; \"; name=a\n\nE\n--b--", "", nil, "can be read as token"},
	{"hidden by a backslash", "--b\nContent-Disposition: form-data; x=\"\\\"; name=token; y=\"; name=a\n\nE\n--b--", "", nil, "can be read as token"},
	{"half a quote", "--b\n" + disposition + "\"token\n\nE\n--b--", "", nil, "malformed"},
	{"no quote to begin with", "--b\n" + disposition + "token\"\n\nE\n--b--", "", nil, "malformed"},
	{"more behind the quotes", "--b\n" + disposition + "\"token\"x\n\nE\n--b--", "", nil, "malformed"},
	{"words", "--b\n" + disposition + "token x\n\nE\n--b--", "", nil, "malformed"},
	{"a comma", "--b\nContent-Disposition: form-data, name=token\n\nE\n--b--", "", nil, "malformed"},
	{"no disposition", "--b\nContent-Disposition: name=token\n\nE\n--b--", "", nil, "malformed"},
	{"folded in quotes", "--b\n" + disposition + "\"tok\n en\"\n\nE\n--b--", "", nil, "can be read as token"},
	{"NUL", "--b\n" + disposition + "\"token\x00\"\n\nE\n--b--", "", nil, "control characters"},
	{"two dispositions", "--b\n" + disposition + "a\n" + disposition + "token\n\nE\n--b--", "", nil, "two Content-Dispositions"},
	{"a line that is none", "--b\nX\n" + disposition + "token\n\nE\n--b--", "", nil, "malformed header"},
	{"a space first", "--b\n " + disposition + "token\n\nE\n--b--", "", nil, "begins with a space"},
	{"bare LF in the header", "--b\nX: 1␊␊x\n" + disposition + "token\n\nE\n--b--", "", nil, "CR LF"},
	{"bare CR in the header", "--b\nX: 1␍" + disposition + "token\n\nE\n--b--", "", nil, "CR LF"},
	{"LF only", "--b␊" + disposition + "token␊␊E␊--b--␊", "", nil, "without its last boundary"},
	{"LF before a boundary", "--b\n" + disposition + "a\n\n1␊--b\n" + disposition + "token\n\nE\n--b--", "", nil, "does not follow a CR LF"},
	{"CR before a boundary", "--b\n" + disposition + "a\n\n1␍--b\n" + disposition + "token\n\nE\n--b--", "", nil, "does not follow a CR LF"},
	{"LF behind a boundary", "--b\n" + disposition + "a\n\n1\n--b␊" + disposition + "token\n\nE\n--b--", "", nil, "followed by something else"},
	{"CR behind a boundary", "--b\n" + disposition + "a\n\n1\n--b␍" + disposition + "token\n\nE\n--b--", "", nil, "followed by something else"},
	{"more behind a boundary", "--b\n" + disposition + "a\n\n1\n--bc\n" + disposition + "token\n\nE\n--b--", "", nil, "followed by something else"},
	{"a dash behind a boundary", "--b\n" + disposition + "a\n\n1\n--b-\n" + disposition + "token\n\nE\n--b--", "", nil, "followed by something else"},
	{"a boundary in the preamble", "x--b\n" + disposition + "token\n\nE\n--b\nX: y\n\n1\n--b--", "", nil, "in the middle of a line"},
	{"LF in the preamble", "x␊--b\n" + disposition + "token\n\nE\n--b\nX: y\n\n1\n--b--", "", nil, "does not follow a CR LF"},
	{"a counted part", "--b\nContent-Length: 2\n" + disposition + "a\n\n12--b\n" + disposition + "token\n\nE\n--b--", "", nil, "in the middle of a line"},
	{"no empty line", "--b\n" + disposition + "a\n--b\n" + disposition + "token\n\nE\n--b--", "", nil, "without an empty line"},
	{"no body", "--b\n" + disposition + "a\n\n--b\n" + disposition + "token\n\nE\n--b--", "", nil, "neither a body"},
	{"in the epilogue", "--b\nX: y\n\n1\n--b--\n--b\n" + disposition + "token\n\nE\n--b--", "", nil, "behind its last boundary"},
	{"in the epilogue's line", "--b\nX: y\n\n1\n--b-- --b\n" + disposition + "token\n\nE\n--b--", "", nil, "behind its last boundary"},
	{"parts in a part", "--b\n" + disposition + "a\nContent-Type: multipart/mixed; boundary=c\n\n--c\n" + disposition + "token\n\nE\n--c--\n--b--", "", nil, "parts of its own"},
	{"no header", "--b\n\n1\n--b--", "", nil, "no header"},
	{"a header further on", "--b\n\n1\n" + disposition + "token\n\nE\n--b--", "", nil, "no header"},
	{"an equals sign", "--b\n" + disposition + "token=\n\nE\n--b--", "", nil, "malformed"},
	{"extended without an asterisk", "--b\nContent-Disposition: form-data; name=utf-8''%74oken 0\n\nE\n--b--", "", nil, "malformed"},
	{"an asterisk", "--b\nContent-Disposition: form-data; name*=utf-8''token*\n\nE\n--b--", "", nil, "is encoded"},
	{"a space of another charset", "--b\n" + disposition + "\"token\x85\"\n\nE\n--b--", "", nil, "can be read as token"},
	{"parts in a part, behind a space", "--b\n" + disposition + "a\nContent-Type:\u00a0multipart/mixed; boundary=c\n\n--c\n" + disposition + "token\n\nE\n--c--\n--b--", "", nil, "parts of its own"},
	{"two types", "--b\n" + disposition + "a\nContent-Type: text/plain\nContent-Type: multipart/mixed; boundary=c\n\n--c\n" + disposition + "token\n\nE\n--c--\n--b--", "", nil, "two Content-Types"},
	{"nothing", "", "", nil, "without its last boundary"},
	{"no boundary", "a=1&token=E", "", nil, "without its last boundary"},
	{"an end that is missing", "--b\n" + disposition + "token\n\nE", "", nil, "without its last boundary"},
	{"half an end", "--b\n" + disposition + "a\n\nE\n--b", "", nil, "without its last boundary"},
	{"half a header", "--b\n" + disposition + "token\n", "", nil, "without its last boundary"},
	{"a large header", "--b\n" + disposition + "a\nX: " + strings.Repeat("x", maxHeader) + "\n\n1\n--b--", "", nil, "16 KiB"},
	{"a large token", "--b\n" + disposition + "token\n\n" + strings.Repeat("x", MaxToken+1) + "\n--b--", "", nil, "longer than any key"},
	{"many parts", strings.Repeat("--b\nX: y\n\n1\n", maxParts+1) + "--b--", "", nil, "10000 parts"},
	{"many tokens", strings.Repeat("--b\n"+disposition+"token\n\n\n", maxParts+1) + "--b--", "", nil, "10000 parts"},
}

func TestMultipart(t *testing.T) {
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			in, want := crlf(c.in), crlf(c.out)
			if want == "" {
				want = in
			}
			for how, src := range sources(in) {
				out, tokens, err := filter(src, Mapping{})
				if c.refused != "" {
					fault, ok := errors.AsType[*Error](err)
					if !ok || !strings.Contains(err.Error(), c.refused) || fault.Status != http.StatusBadRequest {
						t.Errorf("%s: got %.200q, %v", how, out, err)
					}
					if found := read(out); found != "" {
						t.Errorf("%s: before it was refused, this had gone: %s", how, found)
					}
					continue
				}
				if err != nil || out != want || !slices.Equal(tokens, c.tokens) {
					t.Errorf("%s: got %.300q, %q, %v; want %.300q, %q", how, out, tokens, err, want, c.tokens)
				}
			}
		})
	}
}

// sources are ways for a body to come.
func sources(in string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":        strings.NewReader(in),
		"byte by byte": iotest.OneByteReader(strings.NewReader(in)),
		"half by half": iotest.HalfReader(strings.NewReader(in)),
		"err at end":   iotest.DataErrReader(strings.NewReader(in)),
	}
}

var (
	someLineEnd = regexp.MustCompile(`\r\n|\r|\n`)
	someToken   = regexp.MustCompile(`(?i)(^|[^a-z0-9])name\s*\*?\s*=\s*(utf-8'')?["']?\s*(token|to\x{212a}en|%74oken)\s*["']?\s*($|[;,\s])`)
)

// read finds a part that is called token as a server would that takes any line end for
// one and looks for a name wherever it likes; "" if there is none.
func read(body string) string {
	inHeader := false
	header := ""
	for _, line := range someLineEnd.Split(body, -1) {
		rest, isBoundary := strings.CutPrefix(line, "--b")
		if rest = strings.TrimSpace(rest); isBoundary && (rest == "" || rest == "--") {
			inHeader, header = rest == "", ""
			continue
		}
		if !inHeader {
			continue
		}
		if line == "" {
			inHeader = false
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			header += line
		} else {
			header = line
		}
		name, value, _ := strings.Cut(header, ":")
		if strings.EqualFold(strings.TrimSpace(name), "content-disposition") && someToken.MatchString(value) {
			return header
		}
	}
	return ""
}

// readStrictly finds one as Go's library does.
func readStrictly(body string) string {
	for r := multipart.NewReader(strings.NewReader(body), "b"); ; {
		p, err := r.NextRawPart()
		if err != nil {
			return ""
		}
		if strings.EqualFold(strings.TrimSpace(p.FormName()), "token") {
			return p.FormName()
		}
	}
}

// FuzzMultipart checks that no token gets through, as the strictest and the most
// lenient of readers see it, that nothing else is changed, and that it does not matter
// in which pieces a body comes.
func FuzzMultipart(f *testing.F) {
	for _, c := range table {
		if len(c.in) < 2000 {
			f.Add(crlf(c.in))
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, tokens, err := filter(strings.NewReader(in), Mapping{})
		check(t, in, out, tokens, err)
		for how, src := range sources(in) {
			again, sameTokens, sameErr := filter(src, Mapping{})
			if err == nil && (again != out || !slices.Equal(tokens, sameTokens)) || fmt.Sprint(err) != fmt.Sprint(sameErr) {
				t.Errorf("%q: whole %q, %q, %v; %s %q, %q, %v", in, out, tokens, err, how, again, sameTokens, sameErr)
			}
		}
		mapped, _, err := filter(strings.NewReader(in), shout())
		slowly, _, slowErr := filter(iotest.OneByteReader(strings.NewReader(in)), shout())
		if err == nil && mapped != slowly || fmt.Sprint(err) != fmt.Sprint(slowErr) {
			t.Errorf("%q: mapped %q, %v; byte by byte %q, %v", in, mapped, err, slowly, slowErr)
		}
	})
}

// check looks at what was made of a body.
func check(t interface {
	Errorf(string, ...any)
}, in, out string, tokens []string, err error) {
	if found := read(out) + readStrictly(out); found != "" {
		t.Errorf("%q became %q, which holds %q", in, out, found)
	}
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%q: %v", in, err)
		}
		return
	}
	if len(tokens) == 0 && out != in {
		t.Errorf("%q became %q", in, out)
	}
	if again, more, err := filter(strings.NewReader(out), Mapping{}); again != out || len(more) > 0 || err != nil {
		t.Errorf("%q became %q and then %q, %q, %v", in, out, again, more, err)
	}
}

// TestMultipartProperty makes bodies of parts, and compares with what is left when the
// parts called token are left out.
func TestMultipartProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in, want, mapped strings.Builder
		var tokens []string
		for i := range rapid.IntRange(0, 5).Draw(t, "parts") {
			data := rapid.OneOf(
				rapid.StringMatching(`[a-z\r\n -]{0,40}`),
				rapid.Map(rapid.IntRange(0, 3*block), func(n int) string { return strings.Repeat("x\r\n--a", n/6) }),
				rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			).Draw(t, "data")
			if regexp.MustCompile(`[\r\n]--b`).MatchString("\r\n" + data) {
				continue
			}
			delimiter := "--b" + rapid.SampledFrom([]string{"", " ", "\t "}).Draw(t, "padding") + "\r\n"
			whole := func(header, data string) string { return delimiter + header + "\r\n\r\n" + data + "\r\n" }
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				if len(data) > MaxToken {
					continue
				}
				name := rapid.SampledFrom([]string{`"token"`, "token", `"TOKEN"; x=y`, `"\t\oken"`}).Draw(t, "name")
				in.WriteString(whole(disposition+name, data))
				tokens = append(tokens, data)
			case 1:
				header := disposition + fmt.Sprintf("\"f%d\"; filename=\"x\"", i)
				in.WriteString(whole(header, data))
				want.WriteString(whole(header, data))
				mapped.WriteString(whole(header, data))
			case 2:
				header := "X: y\r\n" + disposition + fmt.Sprintf("\"f%d\"", i)
				in.WriteString(whole(header, data))
				want.WriteString(whole(header, data))
				mapped.WriteString(whole(header, string(bytes.ToUpper([]byte(data)))+"!"))
			}
		}
		for _, b := range []*strings.Builder{&in, &want, &mapped} {
			b.WriteString("--b--\r\n")
		}
		sizes := rapid.SliceOfN(rapid.IntRange(1, 5000), 1, 20).Draw(t, "sizes")
		for _, c := range []struct {
			mapping Mapping
			want    string
		}{{Mapping{}, want.String()}, {shout(), mapped.String()}} {
			out, got, err := filter(&pieces{strings.NewReader(in.String()), sizes, 0}, c.mapping)
			if err != nil || out != c.want || !slices.Equal(got, tokens) {
				t.Fatalf("%.500q became %.500q, %.100q, %v; want %.500q", in.String(), out, got, err, c.want)
			}
		}
	})
}

// pieces reads in pieces of these sizes, over and over.
type pieces struct {
	io.Reader
	sizes []int
	next  int
}

func (p *pieces) Read(b []byte) (int, error) {
	size := p.sizes[p.next%len(p.sizes)]
	p.next++
	return p.Reader.Read(b[:min(size, len(b))])
}

func TestMultipartPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	begin := crlf("--b\n" + disposition + "\"a\"; filename=x\n\n")
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{"--b\r\nContent-", ""},
		{begin + "12345678", begin + "123"}, // the rest may have been a boundary
		{begin + "1\r\n--b--epi", begin + "1\r\n--b--"},
	} {
		out, _, err := filter(io.MultiReader(strings.NewReader(c.in), iotest.ErrReader(broken)), Mapping{})
		if err != broken || !strings.HasPrefix(out, c.out) || !strings.HasPrefix(c.in, out) {
			t.Errorf("%q became %q, %v", c.in, out, err)
		}
	}
	refuse := errors.New("refused")
	in := crlf("--b\n" + disposition + "a\n\n1\n--b\n" + disposition + "token\n\nE\n--b\nX: y\n\n2\n--b--")
	m := NewMultipart(strings.NewReader(in), "b", Options{Token: func(string) error { return refuse }})
	if out, err := io.ReadAll(m); err != refuse || string(out) != crlf("--b\n"+disposition+"a\n\n1\n") {
		t.Errorf("got %q, %v", out, err)
	}
	if n, err := m.Read(make([]byte, 1)); n != 0 || err != refuse {
		t.Errorf("and then %d, %v", n, err)
	}
}

// A file passes as it comes, but for what may be a boundary.
func TestFilesAreNotHeldBack(t *testing.T) {
	read, write := io.Pipe()
	m := NewMultipart(read, "b", Options{Mapping: shout()})
	go func() {
		_, _ = io.WriteString(write, crlf("--b\n"+disposition+"\"a\"; filename=x\n\n"))
		_, _ = io.WriteString(write, strings.Repeat("x", 100))
		// and nothing more
	}()
	got := make([]byte, len(disposition)+22+100-6)
	if _, err := io.ReadFull(m, got); err != nil || !strings.HasSuffix(string(got), "xxx") {
		t.Errorf("%q, %v", got, err)
	}
	_ = read.Close()
}

func TestTypeOf(t *testing.T) {
	for _, c := range []struct {
		kind     string
		want     Kind
		boundary string
		status   int
	}{
		{"", None, "", 0},
		{"application/json", None, "", 0},
		{"text/plain; boundary=b", None, "", 0},
		{"application/x-www-form-urlencoded", Urlencoded, "", 0},
		{" Application/X-WWW-Form-URLencoded ; charset=UTF-8", Urlencoded, "", 0},
		{"application/x-www-form-urlencoded, x", Urlencoded, "", 0},
		{"application/x-www-form-urlencoded; charset=\"iso-8859-1\"", Urlencoded, "", 0},
		{"application/x-www-form-urlencoded; charset=utf-16", Urlencoded, "", 415},
		{"application/x-www-form-urlencoded; Charset = \"IBM037\"", Urlencoded, "", 415},
		{"application/x-www-form-urlencoded; charset=utf-8; charset=utf-7", Urlencoded, "", 415},
		{"application/x-www-form-urlencoded; xcharset=utf-16", Urlencoded, "", 415},
		{"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", Upload, "----WebKitFormBoundary7MA4YWxkTrZu0gW", 0},
		{"multipart/form-data;boundary=\"b c\"", Upload, "b c", 0},
		{"Multipart/Form-Data; charset=utf-8; Boundary=b", Upload, "b", 0},
		{"multipart/form-data; boundary====123===", Upload, "===123===", 0},
		{"multipart/form-data; boundary=----------ThIs_Is_tHe_bouNdaRY_$", Upload, "----------ThIs_Is_tHe_bouNdaRY_$", 0},
		{"multipart/form-data; boundary=b;", Upload, "b", 0},
		{"multipart/mixed; boundary=b", Upload, "b", 0},
		{"multipart/form-data", Upload, "", 400},
		{"multipart/form-data; boundary=", Upload, "", 400},
		{"multipart/form-data; boundary=\"\"", Upload, "", 400},
		{"multipart/form-data; boundary=\"b", Upload, "", 400},
		{"multipart/form-data; boundary=b; boundary=c", Upload, "", 400},
		{"multipart/form-data; boundary=b; boundary*=utf-8''c", Upload, "", 400},
		{"multipart/form-data; boundary*0=b", Upload, "", 400},
		{"multipart/form-data; boundary=b,c", Upload, "", 400},
		{"multipart/form-data, boundary=b", Upload, "", 400},
		{"multipart/form-data boundary=b", Upload, "", 400},
		{"multipart/form-data; x; boundary=b", Upload, "", 400},
		{"multipart/form-data; boundary=\"a\\b\"", Upload, "", 400},
		{"multipart/form-data; boundary=\"b \"", Upload, "", 400},
		{"multipart/form-data; boundary=b c", Upload, "", 400},
		{"multipart/form-data; boundary=\"b\"c", Upload, "", 400},
		{"multipart/form-data; boundary=ü", Upload, "", 400},
		{"multipart/form-data; boundary=" + strings.Repeat("x", 71), Upload, "", 400},
		{"multipart/", Upload, "", 400},
		{"multipart/form-data; boundary=b; charset=utf-16", Upload, "", 415},
	} {
		kind, boundary, err := TypeOf(http.Header{"Content-Type": {c.kind}})
		status := 0
		if fault, ok := errors.AsType[*Error](err); ok {
			status = fault.Status
		}
		if kind != c.want || status != c.status || status == 0 && boundary != c.boundary {
			t.Errorf("%q: %d, %q, %v", c.kind, kind, boundary, err)
		}
	}
	for _, c := range []struct {
		h      http.Header
		status int
	}{
		{http.Header{"Content-Type": {"multipart/form-data; boundary=b"}, "Content-Encoding": {"gzip"}}, 415},
		{http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Content-Encoding": {"identity", "gzip"}}, 415},
		{http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Content-Encoding": {"Identity", ""}}, 0},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 0},
		{http.Header{"Content-Type": {"multipart/form-data; boundary=b", "text/plain"}}, 400},
		{http.Header{}, 0},
	} {
		_, _, err := TypeOf(c.h)
		if fault, _ := errors.AsType[*Error](err); (fault == nil) != (c.status == 0) || fault != nil && fault.Status != c.status {
			t.Errorf("%v: %v", c.h, err)
		}
	}
}

// FuzzTypeOf checks that what Go's library takes for a boundary is none other than
// what was found.
func FuzzTypeOf(f *testing.F) {
	for _, seed := range []string{"multipart/form-data; boundary=b", "multipart/x; a=\"\\\"; boundary=c\"; boundary=\"b c\"", "application/x-www-form-urlencoded; charset=utf-8"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, contentType string) {
		kind, boundary, err := TypeOf(http.Header{"Content-Type": {contentType}})
		if kind != Upload || err != nil {
			return
		}
		r := http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader("--" + boundary + "\r\n\r\n1\r\n--" + boundary + "--"))}
		reader, err := r.MultipartReader()
		if err != nil {
			return
		}
		if _, err := reader.NextPart(); err != nil {
			t.Errorf("%q has another boundary than %q: %v", contentType, boundary, err)
		}
	})
}

func BenchmarkMultipart(b *testing.B) {
	const size = 100 << 20
	file := make([]byte, 1<<20)
	for i := range file {
		file[i] = byte(i * 7919 >> 3)
	}
	boundary := "----WebKitFormBoundary7MA4YWxkTrZu0gW"
	body := func() io.Reader {
		parts := []io.Reader{strings.NewReader("--" + boundary + "\r\n" + disposition + "\"file\"; filename=\"x\"\r\n\r\n")}
		for range size / len(file) {
			parts = append(parts, bytes.NewReader(file))
		}
		return io.MultiReader(append(parts, strings.NewReader("\r\n--"+boundary+"--\r\n"))...)
	}
	for name, open := range map[string]func() io.Reader{
		"plain copy": body,
		"filter":     func() io.Reader { return NewMultipart(body(), boundary, Options{}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			buf := make([]byte, 32<<10)
			for b.Loop() {
				if n, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{open()}, buf); err != nil || n < size {
					b.Fatal(n, err)
				}
			}
		})
	}
}

type onlyWriter struct{ io.Writer }
