package attack

import (
	"net/http"
	"strings"
)

// hidden is a request that is to be taken for a body by one, and for a request
// by another.
const hidden = "GET /gis/smuggled HTTP/1.1\nHost: localhost\nConnection: close\nX-Esri-Authorization: Bearer " + keyNightly + "\n\n"

// framed begins a POST whose framing is in doubt.
const framed = "POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Type: text/plain\n"

var framingRows = []row{
	{13, "smuggling",
		"Requests whose end can be read in two ways, by length, chunks, line ends or a second Host: each is refused, or passed on as one request that can be read in one way; what is hidden in it is no request.",
		unmeasured, func(a *attempt) {
			for _, c := range ambiguous {
				x, seen := a.send(c.request)
				switch {
				case len(x.answers) > 1:
					a.hole("%s: there are %d answers", c.name, len(x.answers))
				case c.must && len(seen) > 0:
					a.hole("%s: is passed on: %.300q", c.name, seen[0].String())
				case len(seen) > 1:
					a.hole("%s: arrives as %d requests", c.name, len(seen))
				}
				for _, r := range seen {
					if len(r.header["Content-Length"]) > 1 || len(r.header["Content-Length"]) == 1 && r.header["Transfer-Encoding"] != nil {
						a.hole("%s: arrives with two lengths: %s", c.name, r.String())
					}
				}
			}
			// HTTP/2 has one framing; what must not get through is what would become
			// another one in HTTP/1.1.
			for _, fields := range [][]field{
				{{"x-a", "b\r\nX-Esri-Authorization: Bearer FORGED"}}, {{"x-a", "b\r\n\r\nGET /gis/smuggled HTTP/1.1\r\nX: y"}}, {{"x-a\r\nx-b", "c"}}, {{"x-a: b\r\nx-c", "d"}}, {{"x-a", "b\x00c"}},
				{{":path", "/gis/x HTTP/1.1\r\nX-A: b\r\n\r\nGET /gis/smuggled"}}, {{":path", "/gis/x y"}}, {{":path", "*"}}, {{":path", "gis/x"}}, {{":method", "GET /gis/smuggled HTTP/1.1\r\nX:"}}, {{":method", "GET /x"}}, {{":authority", "localhost\r\nX-A: b"}},
				{{"transfer-encoding", "chunked"}}, {{"X-Upper", "a"}}, {{"x a", "b"}}, {{"", "b"}}, {{":evil", "b"}}, {{"x-a", "b"}, {"connection", "close"}}, {{"keep-alive", "1"}}, {{"te", "gzip"}},
			} {
				x, seen := a.send2(nil, fields...)
				a.refused(strings.TrimSpace(quote(fields[0].name+": "+fields[0].value))+" in HTTP/2", x, seen)
			}
			for _, length := range []string{"3", "5", "4, 4", "-1", "+4"} {
				x, seen := a.send2([]byte("body"), field{":method", "POST"}, field{":path", breaksOff}, field{"content-length", length}, field{"content-type", "text/plain"})
				// net/http takes a length that is no number for none, and breaks off.
				for _, r := range seen {
					if r.body != "body" && (r.body != "" || x.status() == http.StatusOK) {
						a.hole("content-length: %s in HTTP/2: arrives as %.200q, answered by %d", length, r.body, x.status())
					}
				}
			}
		}},
}

// ambiguous are requests that two parties could read in two ways. Those that
// must not pass at all are marked.
var ambiguous = []struct {
	name    string
	must    bool
	request string
}{
	{"CL.TE", false, framed + "Content-Length: 6\nTransfer-Encoding: chunked\n\n0\n\n" + hidden},
	{"TE.CL", false, framed + "Connection: close\nTransfer-Encoding: chunked\nContent-Length: 4\n\n2f\nGET /gis/smuggled HTTP/1.1\nHost: localhost\n\n\n0\n\n"},
	{"two lengths", true, framed + "Content-Length: 4\nContent-Length: 100\n\nbody" + hidden},
	{"two lengths in one", true, framed + "Content-Length: 4, 100\n\nbody" + hidden},
	{"signed length", true, framed + "Content-Length: +4\n\nbody" + hidden},
	{"negative length", true, framed + "Content-Length: -1\n\n" + hidden},
	{"hexadecimal length", true, framed + "Content-Length: 0x4\n\nbody" + hidden},
	{"length with space", true, framed + "Content-Length : 4\n\nbody" + hidden},
	{"length beyond numbers", true, framed + "Content-Length: 99999999999999999999\n\nbody"},
	{"two Hosts", true, "GET /gis/x HTTP/1.1\n{host}\nHost: evil.example\n{key}\nConnection: close\n\n"},
	{"two Hosts, the other way", true, "GET /gis/x HTTP/1.1\nHost: evil.example\n{host}\n{key}\nConnection: close\n\n"},
	{"no Host", true, "GET /gis/x HTTP/1.1\n{key}\nConnection: close\n\n"},
	{"xchunked", true, framed + "Transfer-Encoding: xchunked\n\n0\n\n" + hidden},
	{"chunked, identity", true, framed + "Transfer-Encoding: chunked, identity\n\n0\n\n" + hidden},
	{"gzip, chunked", true, framed + "Transfer-Encoding: gzip, chunked\n\n0\n\n" + hidden},
	{"two encodings", true, framed + "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n" + hidden},
	{"encoding with space", true, framed + "Transfer-Encoding : chunked\nContent-Length: 5\n\n0\n\n" + hidden},
	{"encoding with vertical tab", true, framed + "Transfer-Encoding: \x0bchunked\nContent-Length: 5\n\n0\n\n" + hidden},
	{"encoding in quotes", true, framed + "Transfer-Encoding: \"chunked\"\nContent-Length: 5\n\n0\n\n" + hidden},
	{"encoding folded", false, framed + "Transfer-Encoding:\n chunked\nContent-Length: 5\n\n0\n\n" + hidden},
	{"encoding in HTTP/1.0", false, "POST /gis/x HTTP/1.0\n{host}\n{key}\nTransfer-Encoding: chunked\n\n0\n\n" + hidden},
	{"folded header", false, "GET /gis/x HTTP/1.1\n{host}\n{key}\nX-A: b\n X-Esri-Authorization: Bearer c\nConnection: close\n\n"},
	{"folded first line", true, "GET /gis/x HTTP/1.1\n X-A: b\n{host}\n{key}\nConnection: close\n\n"},
	{"bare LF in a chunk's line", true, framed + "Transfer-Encoding: chunked\nConnection: close\n\n4␊body\n0\n\n"},
	{"bare LF in an extension", true, framed + "Transfer-Encoding: chunked\nConnection: close\n\n4;a␊body\n0\n\n"},
	{"bare CR in a header", true, "GET /gis/x HTTP/1.1\n{host}\n{key}\nX-A: b␍X-Esri-Authorization: Bearer FORGED\nConnection: close\n\n"},
	{"bare LF in headers", false, "GET /gis/x HTTP/1.1␊{host}␊{key}␊Connection: close␊␊"},
	{"NUL in a header", true, "GET /gis/x HTTP/1.1\n{host}\n{key}\nX-A: b\x00c\nConnection: close\n\n"},
	{"space in a name", true, "GET /gis/x HTTP/1.1\n{host}\n{key}\nX A: b\nConnection: close\n\n"},
	{"line without colon", true, "GET /gis/x HTTP/1.1\n{host}\n{key}\nX-A\nConnection: close\n\n"},
	{"empty name", true, "GET /gis/x HTTP/1.1\n{host}\n{key}\n: b\nConnection: close\n\n"},
	{"chunk beyond numbers", true, framed + "Transfer-Encoding: chunked\nConnection: close\n\nffffffffffffffffff\nbody\n0\n\n"},
	{"chunk that is none", true, framed + "Transfer-Encoding: chunked\nConnection: close\n\n-4\nbody\n0\n\n"},
	{"chunk longer than it says", true, framed + "Transfer-Encoding: chunked\nConnection: close\n\n4\nbodybody\n0\n\n"},
	{"GET with a request for a body", false, "GET /gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\nContent-Type: text/plain\nContent-Length: 4\n\nbody" + hidden},
	{"two targets", true, "GET /gis/x /gis/smuggled HTTP/1.1\n{host}\n{key}\nConnection: close\n\n"},
	{"HTTP/0.9", true, "GET /gis/x\n\n"},
	{"HTTP/1.2", false, "GET /gis/x HTTP/1.2\n{host}\n{key}\nConnection: close\n\n"},
	{"HTTP/9.9", true, "GET /gis/x HTTP/9.9\n{host}\n{key}\nConnection: close\n\n"},
	{"tab for space", true, "GET\t/gis/x\tHTTP/1.1\n{host}\n{key}\nConnection: close\n\n"},
	{"empty line first", false, "\nGET /gis/x HTTP/1.1\n{host}\n{key}\nConnection: close\n\n"},
}
