package crawl

import (
	"context"
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"arcproxy/proxy"
)

// foreign are the places that are not the proxy's although the Portal names them,
// without ports that need not be written.
var foreign = map[string]string{
	"open.example.test":          "a server that is not federated: it would refuse the Portal's token, and is not configured",
	"gis.example.test:6443":      "adminUrl: the servers' own port for administration, which is not exposed",
	"internal2.example.com:6443": "adminUrl, inside another network",
	"apps.example.com":           "another organization's application, which may use the Portal (authorizedCrossOriginDomains)",
	"basemaps.example.net":       "a basemap of somebody else",
}

// isForeign looks up a host:port.
func isForeign(place string) bool { return foreign[usual(place)] != "" }

// usual takes the port off that need not be written.
func usual(place string) string {
	return strings.TrimSuffix(strings.TrimSuffix(place, ":443"), ":80")
}

// leftAlone are the bodies that go through as they are, because they are data and
// no addresses to follow. Nothing is followed from them.
var leftAlone = []struct {
	path, why string
}{
	{`/(FeatureServer|MapServer)/\d+/query$`, "attributes of features"},
	{`/(FeatureServer|MapServer)/\d+/\d+/attachments/\d+$`, "files of features"},
	{`/content/items/\w+/data$`, "what an item holds, unless the operator opts in"},
	{`/home/assets/`, "npm's packages"},
}

// itemData makes items' data followed.
var itemData = leftAlone[2].path

// followed reports whether addresses in an answer's body are for following.
func followed(a *answer) bool { return followedBut(a, "") }

func followedBut(a *answer, opted string) bool {
	for _, l := range leftAlone {
		if l.path != opted && regexp.MustCompile(l.path).MatchString(a.url.Path) {
			return false
		}
	}
	return true
}

// journey is a crawl and what it met.
type journey struct {
	*world
	seen    map[string]bool // addresses, as they were asked for
	queue   []*url.URL
	from    map[string]string // where the address was found
	places  map[string]bool   // in which headers, and which kinds of body, addresses were found
	shy     bool              // no callbacks are asked for
	sockets int               // streams that were subscribed to
	broken  []string          // streams at the proxy that could not be
	raw     strings.Builder   // all bodies and headers, as they came
	leaks   []string
}

// most is the most addresses that a crawl asks for.
const most = 4000

// crawl follows every address, breadth first.
func (w *world) crawl() *journey {
	j := &journey{world: w, shy: w.key == "" && !w.naive, seen: make(map[string]bool), from: make(map[string]string), places: make(map[string]bool)}
	j.add(w.public.JoinPath("/portal/sharing/rest/portals/self"), "the beginning")
	j.add(w.public.JoinPath("/portal/home/"), "the beginning")
	j.add(w.public.JoinPath("/portal"), "the beginning")
	for len(j.queue) > 0 && len(j.seen) < most {
		next := j.queue[0]
		j.queue = j.queue[1:]
		j.visit(next)
	}
	if len(j.queue) > 0 {
		w.t.Errorf("there is no end after %d addresses", most)
	}
	return j
}

// add queues an address: as it is and, where ArcGIS has several views of it, in
// JSON and one more.
func (j *journey) add(u *url.URL, from string) {
	views := []*url.URL{u}
	if rest := strings.Contains(u.Path, "/rest"); rest && !strings.HasPrefix(u.Scheme, "ws") {
		sum := fnv.New32()
		_, _ = sum.Write([]byte(u.Path))
		more := []string{"f=pjson", "f=json&callback=dojo.io.cb"}
		if j.shy {
			more[1] = more[0] // the proxy gives none to a caller without a key, who may be a browser that was led here
		}
		for _, view := range []string{"f=json", more[sum.Sum32()%2]} {
			v := *u
			q := v.Query()
			q.Del("f")
			v.RawQuery = strings.Trim(q.Encode()+"&"+view, "&")
			views = append(views, &v)
		}
	}
	for _, v := range views {
		if text := v.String(); !j.seen[text] {
			j.seen[text] = true
			j.from[text] = from
			j.queue = append(j.queue, v)
		}
	}
}

// visit asks for an address and queues what the answer names.
func (j *journey) visit(u *url.URL) {
	if strings.HasPrefix(u.Scheme, "ws") {
		j.socket(u)
		return
	}
	encoding := []string{"gzip", "identity"}[len(j.seen)%2]
	a, err := j.do(http.MethodGet, u.String(), nil, "Accept-Encoding", encoding)
	if err != nil {
		if strings.EqualFold(hostPort(u), hostPort(j.public)) {
			j.t.Errorf("%s (%s): %v", u, j.from[u.String()], err)
		}
		return // it was counted
	}
	fmt.Fprintf(&j.raw, "%v\n%s\n", a.header, a.body)
	links, text := find(a)
	for _, l := range links {
		j.places[strings.FieldsFunc(l.where, func(r rune) bool { return r == ' ' || r == '.' || r == '[' || r == ',' })[0]] = true
		j.add(l.url, l.where+" of "+u.String())
	}
	for line := range strings.Lines(text) {
		for _, m := range upstreamHosts.FindAllString(line, -1) {
			if !named(m, strings.TrimSpace(line), a) {
				j.leaks = append(j.leaks, fmt.Sprintf("%s in %s: %.200q", m, u, line))
			}
		}
	}
	for _, c := range a.header.Values("Set-Cookie") {
		if domain := regexp.MustCompile(`(?i);\s*domain=([^;]*)`).FindStringSubmatch(c); domain != nil && !strings.EqualFold(domain[1], j.public.Hostname()) {
			j.leaks = append(j.leaks, "Domain of a cookie in "+u.String()+": "+c)
		}
	}
}

// named reports whether an upstream's host may stand in an answer: with the port for
// administration, and alone, without scheme or context, which no client follows. A
// bare host is mapped where it is the value of preferredHost or customBaseUrl in
// JSON and the host is the Portal's; another's could not be mapped back, in HTML it
// is for people, and portals/self/servers has it as a server's name.
func named(host, text string, a *answer) bool {
	if strings.HasSuffix(host, ":6443") {
		return true
	}
	return text == host && (host == "gis2.example.test" || strings.HasSuffix(a.url.Path, "/portals/self/servers") || strings.Contains(a.header.Get("Content-Type"), "html"))
}

// upstreamHosts are those that the proxy stands before.
var upstreamHosts = regexp.MustCompile(`(?i)gis2?\.example\.test(:6443)?`)

// socket subscribes to a stream, and expects that what is sent to it comes back.
func (j *journey) socket(u *url.URL) {
	to := *u
	if to.Path == "" {
		return // an origin, of a policy
	}
	if path.Base(to.Path) != "subscribe" {
		to.Path += "/subscribe"
	}
	if j.key != "" { // a browser can put it nowhere else
		q := to.Query()
		q.Set("token", j.key)
		to.RawQuery = q.Encode()
	}
	if err := j.echo(&to); err != nil {
		if strings.EqualFold(hostPort(u), hostPort(j.public)) {
			j.broken = append(j.broken, fmt.Sprintf("%s (%s): %v", &to, j.from[u.String()], err))
		}
		return
	}
	j.sockets++
}

func (j *journey) echo(u *url.URL) error {
	conn, err := j.dial(context.Background(), "tcp", hostPort(u))
	if err != nil {
		return err
	}
	defer conn.Close()
	if u.Scheme == "wss" {
		secured := tls.Client(conn, &tls.Config{RootCAs: j.roots, ServerName: u.Hostname()})
		defer secured.Close()
		conn = net.Conn(secured)
	}
	config, err := websocket.NewConfig(u.String(), j.public.String())
	if err != nil {
		return err
	}
	ws, err := websocket.NewClient(config, conn)
	if err != nil {
		return err
	}
	var back string
	if err := websocket.Message.Send(ws, "hello"); err != nil {
		return err
	}
	if err := websocket.Message.Receive(ws, &back); err != nil {
		return err
	}
	if back != "hello" {
		return fmt.Errorf("%q came back", back)
	}
	return ws.Close()
}

// hostPort is where an address leads.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "wss": "443", "http": "80", "ws": "80"}[u.Scheme]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// expected are places that a crawl comes to if it loses no thread.
var expected = []string{
	"/portal/sharing/rest/info", "/portal/home/gallery.html", "/portal/home/home.css", "/portal/home/home.js", "/portal/home/images/tree.png",
	"/portal/home/item.html", "/portal/sharing/rest/content/items/7ee5000000000000000000000000a002/data", "/portal/home/webmap/viewer.html",
	"/server/rest/services/Trees/FeatureServer/0/query", "/server/rest/services/Trees/FeatureServer/0/400/attachments/9001",
	"/server/services/Trees/MapServer/WMSServer", "/server/services/Trees/MapServer/WFSServer", "/server/services/Trees/MapServer/KmlServer",
	"/server/rest/services/Trees/MapServer/WMTS/tile/1.0.0/Trees/default/default028mm/0/0/0.png",
	"/server/rest/services/Streets/VectorTileServer/resources/fonts/0/0.pbf", "/server/rest/services/Streets/VectorTileServer/resources/sprites/sprite",
	"/server/rest/services/Tools/GPServer/CountTrees/submitJob", "/server/rest/directories/arcgisoutput/map1.png",
	"/server/rest/services/Utilities/Geometry/GeometryServer", "/arcgis/rest/services/Topo/MapServer", "/arcgis/rest/services/Locator/GeocodeServer",
}

func TestCrawlNeverLeaves(t *testing.T) {
	for i, scheme := range []string{"https", "https", "http"} {
		t.Run(fmt.Sprint(scheme, i), func(t *testing.T) {
			w := newWorld(t, uint64(i)*0x9E3779B97F4A7C15, scheme, nil) // 0 is a new seed each time
			if scheme == "https" {
				w.key = callerKey
			}
			j := w.crawl()
			for host, n := range w.left {
				if !isForeign(host) {
					t.Errorf("%d times to %s", n, host)
				}
			}
			for at, from := range j.from {
				if u, _ := url.Parse(at); !isForeign(hostPort(u)) && hostPort(u) != hostPort(w.public) {
					t.Errorf("%s was found in %s", at, from)
				}
			}
			met := make(map[string]bool)
			for host := range w.left {
				met[usual(host)] = true
			}
			for host, why := range foreign {
				if !met[host] {
					t.Errorf("nothing led to %s (%s): the table is out of date", host, why)
				}
			}
			for _, leak := range j.leaks {
				t.Errorf("an upstream's name reached the client: %s", leak)
			}
			jobs, results := false, false
			paths := make(map[string]bool)
			for at := range j.seen {
				if u, _ := url.Parse(at); hostPort(u) == hostPort(w.public) {
					paths[u.Path] = true
					jobs = jobs || strings.Contains(u.Path, "/CountTrees/jobs/")
					results = results || strings.HasSuffix(u.Path, "/results/total")
				}
			}
			for _, p := range expected {
				if !paths[p] {
					t.Errorf("%s was not found", p)
				}
			}
			if !jobs || !results || j.sockets+len(j.broken) == 0 {
				t.Errorf("jobs %v, their results %v, sockets %d", jobs, results, j.sockets)
			}
			if got := strings.Contains(j.raw.String(), "dojo.io.cb("); got != (w.key != "") {
				t.Errorf("answers with a callback: %v", got)
			}
			if w.sb.Portal.Counts().OpenTokens > 0 {
				t.Error("a token reached the server that is not federated")
			}
			t.Logf("%d addresses, places %v", len(j.seen), j.places)
		})
	}
}

// forms are the ways in which the Portal writes its addresses, as bytes.
var forms = map[string]string{
	"plain":                       `"https://gis\.example\.test/`,
	"escaped":                     `https:\\/\\/gis\.example\.test\\/`,
	"unicode":                     `https:\\u002[fF]\\u002[fF]gis\.example\.test`,
	"hexadecimal":                 `https:\\x2f\\x2fgis\.example\.test`,
	"entities":                    `https:&#(x2[Ff]|47);&#(x2[Ff]|47);gis\.example\.test|https:&sol;`,
	"percent-encoded":             `https%3A%2F%2Fgis\.example\.test%2F`,
	"percent-encoded twice":       `https%253A%252F%252Fgis\.example\.test%252F`,
	"host and context only":       `"gis\.example\.test(/|\\/|\\u002[fF])portal"`,
	"host only":                   `"gis\.example\.test"`,
	"without scheme":              `"//gis\.example\.test/`,
	"capitals":                    `(?:GIS|Gis)2?\.(?:example|EXAMPLE)`,
	"port written out":            `gis2?\.example\.test:443`,
	"the other scheme":            `http:(//|\\/\\/)gis\.example\.test`,
	"socket":                      `wss:(//|\\/\\/|\\u002[fF]\\u002[fF])`,
	"Location":                    `Location:\[https://gis`,
	"Refresh":                     `Refresh:\[0; url=https://gis`,
	"Content-Location":            `Content-Location:\[https://gis`,
	"Link":                        `Link:\[<https://gis`,
	"Set-Cookie with Domain":      `Set-Cookie:\[[^\]]*Domain=gis`,
	"Content-Security-Policy":     `Content-Security-Policy:\[[^\]]*https://gis\.example\.test`,
	"JSONP":                       `dojo\.io\.cb\(\{`,
	"gzip":                        `Content-Encoding:\[gzip\]`,
	"JSON in text/plain":          `Content-Type:\[text/plain[^\]]*\]`,
	"another server's own host":   `gis2\.example\.test`,
	"an origin without a context": `"https:(//|\\/\\/|\\u002[fF]\\u002[fF])gis\.example\.test"`,
}

// TestCrawlBites lets the same crawl loose behind a proxy that maps nothing. Each
// form of address has to be there, and to lead away.
func TestCrawlBites(t *testing.T) {
	missing := make(map[string]bool)
	for name := range forms {
		missing[name] = true
	}
	for seed := uint64(1); seed <= 3 && (seed == 1 || len(missing) > 0); seed++ {
		w := newNaive(t, seed)
		j := w.crawl()
		// Nothing else is reached from here: all leads away at once.
		for _, host := range []string{"gis.example.test:443", "gis2.example.test:443"} {
			if w.left[host] == 0 {
				t.Errorf("seed %d: nothing led to %s", seed, host)
			}
		}
		if len(j.leaks) == 0 {
			t.Errorf("seed %d: no leak was seen", seed)
		}
		// What lies deeper is asked for past the proxy's door.
		for at := range j.seen {
			u, _ := url.Parse(at)
			if strings.HasPrefix(u.Scheme, "ws") || !slices.Contains([]string{"gis.example.test", "gis2.example.test"}, strings.ToLower(u.Hostname())) {
				continue
			}
			here := *u
			here.Scheme, here.Host = w.public.Scheme, w.public.Host
			j.add(&here, "again")
		}
		for len(j.queue) > 0 {
			next := j.queue[0]
			j.queue = j.queue[1:]
			j.visit(next)
			for _, u := range slices.Clone(j.queue) {
				if here := *u; strings.HasPrefix(strings.ToLower(u.Host), "gis") && !strings.HasPrefix(u.Scheme, "ws") && u.Port() != "6443" {
					here.Scheme, here.Host = w.public.Scheme, w.public.Host
					j.add(&here, "again")
				}
			}
		}
		for name, pattern := range forms {
			if regexp.MustCompile(pattern).MatchString(j.raw.String()) {
				delete(missing, name)
			}
		}
	}
	for name := range missing {
		t.Errorf("no answer has the form %q", name)
	}
}

// TestCrawlOfItemData opts in to items' data being mapped, and follows them too.
func TestCrawlOfItemData(t *testing.T) {
	w := newWorld(t, 0, "https", func(c *proxy.Config) { c.Mapping.ItemData = true })
	a := w.get(w.public.String() + "/portal/sharing/rest/content/items/7ee5000000000000000000000000a002/data?f=json")
	if !followedBut(a, itemData) {
		t.Fatal("the data are not followed")
	}
	f := &finder{base: a.url}
	f.json(a.body)
	if len(f.all) < 2 {
		t.Errorf("a web map without addresses: %s", a.body)
	}
	for _, l := range f.all {
		if hostPort(l.url) != hostPort(w.public) {
			t.Errorf("%s in %s", l.url, l.where)
		}
	}
}
