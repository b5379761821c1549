package attack

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// form is a request with an urlencoded form.
func form(target, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\n{host}\n{key}\nContent-Type: application/x-www-form-urlencoded\nContent-Length: %d\nConnection: close\n\n%s", target, len(body), body)
}

var queryRows = []row{
	{17, "query tampering by the proxy itself",
		"Queries that Go's parser does not like, as where clauses are: each arrives byte for byte, and without the token only where one was.",
		falls, func(a *attempt) {
			for _, query := range []string{
				"where=NAME%20LIKE%20'A%'&f=json", "where=NAME+LIKE+'%25A%'&f=json", "a=1;b=2&c", "a=%zz&b=%&c=%4", "a+b=%2B+%20&&=&", "where=1%3D1&where=2", "q=\"x\"&g={\"x\":1,\"y\":[2]}", "x=\xc3\xa4\xff|^`<>", "=", "&", "&&a", "f=json&", "a=b?c=d?", "%61=%41", "tokens=1&atoken=2&token1=3", "x=a/../b//c\\d",
			} {
				x, seen := a.send(get("/gis/query?" + query))
				if r := a.passes(query, x, seen); r.target != "/gis/query?"+query {
					a.hole("%s: arrives as %s", query, r.target)
				}
			}
			for query, want := range map[string]string{
				"token={nightly}&where=A%&f=json": "where=A%&f=json", "where=A%&token={nightly}&f=json": "where=A%&f=json", "where=A%;b&token={nightly}": "where=A%;b", "a=%&&token={nightly}&&b": "a=%&&&b",
			} {
				x, seen := a.send("GET /gis/query?" + query + " HTTP/1.1\n{host}\nConnection: close\n\n")
				if r := a.passes(query, x, seen); r.target != "/gis/query?"+want {
					a.hole("%s: arrives as %s", query, r.target)
				}
			}
			body := "where=NAME LIKE 'A%'&geometry={\"x\":1};y=%zz&f=json"
			x, seen := a.send(form("/gis/query", body))
			if r := a.passes("a form", x, seen); r.body != body {
				a.hole("a form arrives as %s", r.body)
			}
		}},

	{18, "parameter smuggling",
		"A token follows ten thousand other parameters, more than Go parses, in a query and in a form: it does not arrive, and the others do.",
		unmeasured, func(a *attempt) {
			many := strings.Repeat("a=1&", 10_001)
			for _, token := range []string{"token={nightly}", "TOKEN={nightly}", "t%6Fken={nightly}"} {
				x, seen := a.send(get("/gis/query?" + many + token + "&b=%"))
				if r := a.passes("a query with "+token, x, seen); r.target != "/gis/query?"+many+"b=%" {
					a.hole("a query with %s: %d bytes arrive: …%.100q", token, len(r.target), r.target[max(0, len(r.target)-80):])
				}
				x, seen = a.send(form("/gis/query", a.fill(many+token+"&b=%", a.at.keyed)))
				if r := a.passes("a form with "+token, x, seen); r.body != many+"b=%" {
					a.hole("a form with %s: %d bytes arrive: …%.100q", token, len(r.body), r.body[max(0, len(r.body)-80):])
				}
			}
			for _, request := range []string{get("/gis/query?" + many + "token=FORGED"), form("/gis/query", many+"token=FORGED"), form("/gis/query", many+strings.Repeat("x", 3<<20)+"&token=FORGED")} {
				x, seen := a.send(request)
				a.harmless(fmt.Sprintf("a forged token in %d bytes", len(request)), x, seen)
			}
			// Beyond what is read of a form to find a key.
			large := "x=" + strings.Repeat("y", 3<<20)
			x, seen := a.send(form("/gis/query", large+"&token="+keyNightly+"&b=%"))
			if r := a.passes("a large form", x, seen); r.body != large+"&b=%" {
				a.hole("a large form: %d bytes of %d arrive", len(r.body), len(large)+4)
			}
		}},

	{19, "duplicate token",
		"Tokens twice, in other cases and encodings, in query, form and upload, beside the key: none arrives; a token that is nobody's is refused, however it is written.",
		falls, func(a *attempt) {
			for _, query := range []string{"token={nightly}&Token={nightly}", "%74oken={nightly}", "%54%4F%4B%45%4E={nightly}&token={nightly}", "a=1&tOkEn={nightly}", "token={nightly}%20", "token=", "token", "token=&token={nightly}", "to\u212aen={nightly}"} { // the last with a Kelvin sign, whose lower case is k
				x, seen := a.send(get("/gis/x?" + query))
				if r := a.passes(query, x, seen); strings.Contains(strings.ToLower(r.target), "oken") {
					a.hole("%s: arrives as %s", query, r.target)
				}
				body := a.fill(query, a.at.keyed)
				x, seen = a.send(form("/gis/x?"+query, body))
				if r := a.passes(query+" twice", x, seen); strings.Contains(strings.ToLower(r.body+r.target), "oken") {
					a.hole("%s: arrives as %s with %s", query, r.target, r.body)
				}
			}
			a.refusedAll(
				get("/gis/x?token=FORGED&Token=FORGED2"), get("/gis/x?%74oken=FORGED"), get("/gis/x?token={nightly}&token=FORGED"), form("/gis/x?token={nightly}", "token=FORGED"), form("/gis/x?token=FORGED", "f=json"), form("/gis/x", "f=json&TOKEN=FORGED"),
				"GET /gis/x HTTP/1.1\n{host}\n{key}\nX-Esri-Authorization: Bearer FORGED\nConnection: close\n\n", "GET /gis/x HTTP/1.1\n{host}\n{key}\nAuthorization: Bearer FORGED\nConnection: close\n\n", "GET /gis/x HTTP/1.1\n{host}\n{key}\nX-Esri-Authorization: FORGED\nConnection: close\n\n",
			)
			for _, header := range []string{"Authorization: Negotiate FORGED", "Authorization: NTLM FORGED", "Referer: http://localhost/gis/x?token=FORGED&a=1", "Cookie: agstoken=FORGED", "Proxy-Authorization: Bearer FORGED"} {
				x, seen := a.send("GET /gis/x HTTP/1.1\n{host}\n{key}\n" + header + "\nConnection: close\n\n")
				a.harmless(header, x, seen)
			}
			// Two content types: is it a form, or is it not?
			x, seen := a.send("POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Type: text/plain\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 12\nConnection: close\n\ntoken=FORGED")
			a.refused("two content types", x, seen)
			for _, kind := range []string{"application/x-www-form-urlencoded; charset=utf-8", " Application/X-WWW-Form-Urlencoded ;x", "application/x-www-form-urlencoded;"} {
				x, seen := a.send("POST /gis/x HTTP/1.1\n{host}\n{key}\nContent-Type: " + kind + "\nContent-Length: 12\nConnection: close\n\ntoken=FORGED")
				a.refused(kind, x, seen)
			}
			tryUploads(a)
		}},

	{24, "keys that collide",
		"Callers whose names and keys are equal when joined, or whose keys share all but the last character: each gets its own identity's token; a key that is cut, lengthened or in another case is nobody's.",
		pointless, func(a *attempt) {
			for range 2 { // cold and warm
				for name, key := range map[string]string{"co": keyCo, "coll": keyColl, "one": keyOne, "two": keyTwo} {
					for place, request := range keyPlaces(name, key) {
						x, seen := a.sendTo(a.at.keyed, identityOf[key], request)
						a.passes(name+" by "+place, x, seen)
					}
				}
			}
			var wrong []string
			for _, key := range map[string]string{
				"a shared beginning": keyOne[:len(keyOne)-1], "a longer key": keyOne + "1", "another case": strings.ToLower(keyOne), "name and key": "co" + keyCo, "key and name": keyCo + "co", "a key and NUL": keyOne + "\x00", "its hash": "sha256:" + keyOne, "part of the joined": keyCo[1:], "two keys": keyOne + "," + keyTwo, "two keys parted by space": keyOne + " " + keyTwo,
			} {
				wrong = slices.AppendSeq(wrong, maps.Values(keyPlaces("co", key)))
			}
			a.refusedAll(wrong...)
			x, seen := a.send("GET /gis/x?token=" + keyOne + " HTTP/1.1\n{host}\nX-Esri-Authorization: Bearer " + keyTwo + "\nConnection: close\n\n")
			a.refused("keys of two callers", x, seen)
		}},
}

// keyPlaces are requests with a key in every place that may hold one.
func keyPlaces(name, key string) map[string]string {
	query := url.QueryEscape(key)
	places := map[string]string{
		"query": "GET /gis/x?token=" + query + " HTTP/1.1\n{host}\nConnection: close\n\n",
		"form":  fmt.Sprintf("POST /gis/x HTTP/1.1\n{host}\nContent-Type: application/x-www-form-urlencoded\nContent-Length: %d\nConnection: close\n\ntoken=%s", len(query)+6, query),
		"Basic": "GET /gis/x HTTP/1.1\n{host}\nAuthorization: Basic " + basic(name, key) + "\nConnection: close\n\n",
	}
	if !strings.Contains(key, "\x00") {
		places["header"] = "GET /gis/x HTTP/1.1\n{host}\nX-Esri-Authorization: Bearer " + key + "\nConnection: close\n\n"
		places["Bearer"] = "GET /gis/x HTTP/1.1\n{host}\nAuthorization: Bearer " + key + "\nConnection: close\n\n"
	}
	return places
}

// basic encodes credentials as RFC 7617 has it.
func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}
