package attack

import (
	"fmt"
	"strings"
)

// upload is a request with a multipart form as it is written in this package, with the
// boundary b, and the key if it is to have one.
func (a *attempt) upload(kind, body string, keyed bool) string {
	key := ""
	if keyed {
		key = "{key}\n"
	}
	return fmt.Sprintf("POST /gis/addItem HTTP/1.1\n{host}\n%sContent-Type: %s\nContent-Length: %d\nConnection: close\n\n%s", key, kind, len(a.fill(body, a.at.keyed)), body)
}

// chunked is the same in chunks of these sizes, the last of which takes all that is left.
func (a *attempt) chunked(kind, body string, sizes ...int) string {
	body = a.fill(body, a.at.keyed)
	var b strings.Builder
	for _, size := range append(sizes, len(body)) {
		if size = min(size, len(body)); size > 0 {
			fmt.Fprintf(&b, "%x\n%s\n", size, written.Replace(body[:size]))
			body = body[size:]
		}
	}
	return fmt.Sprintf("POST /gis/addItem HTTP/1.1\n{host}\n{key}\nContent-Type: %s\nTransfer-Encoding: chunked\nConnection: close\n\n%s0\n\n", kind, b.String())
}

// written writes bytes so that fill makes the same of them again.
var written = strings.NewReplacer("\r\n", "\n", "\r", "␍", "\n", "␊")

const (
	multipartForm = "multipart/form-data; boundary=b"
	fieldCalled   = "--b\nContent-Disposition: form-data; name="
	aField        = fieldCalled + "\"title\"\n\nTrees\n"
	aFile         = fieldCalled + "\"file\"; filename=\"trees.zip\"\nContent-Type: application/zip\n\nPK\x03\x04␊--c\n--\n"
)

// tokenParts are ways to write a part that some server takes for the token.
var tokenParts = map[string]string{
	"plain":                    fieldCalled + "\"token\"\n\nFORGED\n",
	"upper case":               fieldCalled + "\"TOKEN\"\n\nFORGED\n",
	"a Kelvin sign":            fieldCalled + "\"to\u212aen\"\n\nFORGED\n",
	"without quotes":           fieldCalled + "token\n\nFORGED\n",
	"backslashes":              fieldCalled + "\"\\t\\o\\k\\e\\n\"\n\nFORGED\n",
	"spaces":                   fieldCalled + " \" token \" \n\nFORGED\n",
	"single quotes":            fieldCalled + "'token'\n\nFORGED\n",
	"percent":                  fieldCalled + "\"%74oken\"\n\nFORGED\n",
	"encoded word":             fieldCalled + "\"=?UTF-8?B?dG9rZW4=?=\"\n\nFORGED\n",
	"extended":                 "--b\nContent-Disposition: form-data; name*=UTF-8''token\n\nFORGED\n",
	"extended beside a name":   "--b\nContent-Disposition: form-data; name=a; name*=UTF-8''%74oken\n\nFORGED\n",
	"in pieces":                "--b\nContent-Disposition: form-data; name*0=\"tok\"; name*1=\"en\"\n\nFORGED\n",
	"the second name":          fieldCalled + "\"a\"; name=\"token\"\n\nFORGED\n",
	"the first name":           fieldCalled + "\"token\"; name=\"a\"\n\nFORGED\n",
	"in a quoted string":       "--b\nContent-Disposition: form-data; x=\"; name=token; \"; name=a\n\nFORGED\n",
	"behind a backslash":       "--b\nContent-Disposition: form-data; filename=\"C:\\\"; name=\"token\"\n\nFORGED\n",
	"with a file's name":       fieldCalled + "\"token\"; filename=\"\"\n\nFORGED\n",
	"as a file":                fieldCalled + "\"token\"; filename=\"key\"\nContent-Type: application/octet-stream\n\nFORGED\n",
	"another disposition":      "--b\ncontent-disposition:attachment;NAME=token\n\nFORGED\n",
	"no disposition":           "--b\nContent-Disposition: name=token\n\nFORGED\n",
	"two dispositions":         "--b\nContent-Disposition: form-data; name=a\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"a space before the colon": "--b\nContent-Disposition : form-data; name=token\n\nFORGED\n",
	"a space before the line":  "--b\n Content-Disposition: form-data; name=token\n\nFORGED\n",
	"folded":                   "--b\nContent-Disposition: form-data;\n name=\n\ttoken\n\nFORGED\n",
	"folded in quotes":         fieldCalled + "\"tok\n en\"\n\nFORGED\n",
	"NUL":                      fieldCalled + "\"token\x00\"\n\nFORGED\n",
	"half a quote":             fieldCalled + "\"token\n\nFORGED\n",
	"base64":                   fieldCalled + "\"token\"\nContent-Transfer-Encoding: base64\n\nFORGED==\n",
	"quoted-printable":         fieldCalled + "\"token\"\nContent-Transfer-Encoding: quoted-printable\n\n=\nFORGED\n",
	"UTF-16":                   fieldCalled + "\"token\"\nContent-Type: text/plain; charset=utf-16\n\nFORGED\n",
	"bare LF":                  "--b␊Content-Disposition: form-data; name=token␊␊FORGED␊",
	"bare LF before":           "␊--b\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"bare CR before":           "␍--b\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"bare LF behind":           "--b␊Content-Disposition: form-data; name=token\n\nFORGED\n",
	"bare LF in the header":    "--b\nX: 1␊␊2\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"padding":                  "--b \t \nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"more behind the boundary": "--b; x\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"no empty line":            "--b\nX: 1\n--b\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"no body":                  "--b\nX: 1\n\n--b\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"a length":                 "--b\nContent-Disposition: form-data; name=a\nContent-Length: 1\n\n1--b\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"parts in a part":          "--b\nContent-Disposition: form-data; name=a\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Disposition: form-data; name=token\n\nFORGED\n--c--\n",
	"a large header":           "--b\nX: " + strings.Repeat("x", 20_000) + "\nContent-Disposition: form-data; name=token\n\nFORGED\n",
	"beyond 10,000 parts":      strings.Repeat("--b\n\n\n", 10_001) + fieldCalled + "token\n\nFORGED\n",
}

// tryUploads sends tokens in multipart forms: somebody else's in every spelling that a
// server may know, first, last and behind a large file, none of which may arrive, and
// the caller's own, which is taken out. It is part of row 19.
func tryUploads(a *attempt) {
	large := fieldCalled + "\"file\"; filename=\"large.zip\"\n\n" + strings.Repeat("x", 3<<20) + "\n"
	var requests []string
	for _, part := range tokenParts {
		requests = append(requests,
			a.upload(multipartForm, part+aField+aFile+"--b--\n", true),
			a.upload(multipartForm, aField+aFile+part+"--b--\n", true),
			a.upload(multipartForm, part+"--b--\n", false),
			a.chunked(multipartForm, aFile+part+aField+"--b--", len(aFile)+3, 1, 1, 1, 7, 20, 1),
		)
	}
	for _, name := range []string{"plain", "percent", "bare LF before", "base64"} {
		requests = append(requests, a.upload(multipartForm, large+tokenParts[name]+"--b--\n", true), a.chunked(multipartForm, large+tokenParts[name]+"--b--", 2<<20))
	}
	plain := tokenParts["plain"]
	requests = append(requests,
		// Where parts are not to be.
		a.upload(multipartForm, "x"+plain+aField+"--b--\n", true),
		a.upload(multipartForm, "x␊"+plain+aField+"--b--\n", true),
		a.upload(multipartForm, aField+"--b--\n"+plain+"--b--\n", true),
		a.upload(multipartForm, aField+plain, true),
		a.upload(multipartForm, aField+strings.TrimSuffix(plain, "\n"), true),
		a.upload(multipartForm, plain, true),
		// Whose boundary is it?
		a.upload("multipart/form-data", plain+"--b--\n", true),
		a.upload("multipart/form-data; boundary=c; boundary=b", plain+"--b--\n--c--", true),
		a.upload("multipart/form-data; boundary=b; boundary=c", plain+"--b--\n--c--", true),
		a.upload("multipart/form-data; boundary=c; boundary*=utf-8''b", plain+"--b--\n--c--", true),
		a.upload("multipart/form-data; boundary=b,c", plain+"--b--\n--b,c--", true),
		a.upload("multipart/form-data, boundary=b", plain+"--b--\n", true),
		a.upload("multipart/form-data; x=\"\\\"; boundary=c; \"; boundary=b", plain+"--b--\n--c--", true),
		a.upload("MULTIPART/mixed; BOUNDARY=\"b\"", plain+"--b--\n", true),
		// What does it say to somebody who unpacks it, or reads it in another charset?
		strings.Replace(a.upload(multipartForm, plain+"--b--\n", true), "\nContent-Type", "\nContent-Encoding: gzip\nContent-Type", 1),
		strings.Replace(form("/gis/x", "token=FORGED"), "\nContent-Type", "\nContent-Encoding: gzip\nContent-Type", 1),
		a.upload(multipartForm+"; charset=utf-16", aField+"--b--\n", true),
		a.upload("application/x-www-form-urlencoded; charset=utf-16", "%00t%00o%00k%00e%00n=FORGED", true),
		a.upload("application/x-www-form-urlencoded, x", "token=FORGED", true),
	)
	for len(requests) > 0 { // not all at once: each answer to a guess is held back
		some := requests[:min(len(requests), 32)]
		requests = requests[len(some):]
		a.refusedAll(some...)
	}

	own := strings.ReplaceAll(plain, "FORGED", "{nightly}")
	rest := a.fill(aField+aFile+"--b--\n", a.at.keyed)
	x, seen := a.send(a.upload(multipartForm, aField+aFile+"--b--\n", true))
	if r := a.passes("an upload without a token", x, seen); r.body != rest {
		a.hole("an upload without a token arrives as %.400q", r.body)
	}
	for what, body := range map[string]string{"first": own + aField + aFile, "between": aField + own + aFile, "last": aField + aFile + own, "in odd spellings": aField + strings.ReplaceAll(tokenParts["upper case"]+tokenParts["folded"]+tokenParts["extended"]+tokenParts["padding"], "FORGED", "{nightly}") + aFile} {
		for _, keyed := range []bool{true, false} {
			x, seen := a.send(a.upload(multipartForm, body+"--b--\n", keyed))
			if r := a.passes("an upload with the key "+what, x, seen); r.body != rest {
				a.hole("an upload with the key %s arrives as %.400q", what, r.body)
			}
		}
	}
	x, seen = a.send(a.chunked(multipartForm, aField+aFile+own+"--b--\n", 100, 50, 1, 1, 1, 40, 1))
	if r := a.passes("an upload in chunks", x, seen); r.body != rest {
		a.hole("an upload in chunks arrives as %.400q", r.body)
	}
	x, seen = a.send(a.upload(multipartForm, large+own+"--b--\n", true))
	if r := a.passes("a large upload", x, seen); r.body != a.fill(large+"--b--\n", a.at.keyed) {
		a.hole("a large upload: %d bytes arrive", len(r.body))
	}
}
