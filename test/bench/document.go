package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// upstreamHost is the upstreams' name. Nobody looks it up: whoever wants to go
// there is led to the upstream's socket.
const upstreamHost = "gis.example.com"

// publicURL is what addresses are mapped to.
var publicURL = url.URL{Scheme: "https", Host: "localhost:8443"}

// mounts are the upstreams' first path segments.
var mounts = []string{"portal", "server"}

// A form is a way to write an address, as old and as new.
type form struct{ Old, New string }

// forms are all that occur in documents, the longer ones first.
func forms() (all []form) {
	for _, mount := range mounts {
		plain := form{upstreamHost + "/" + mount, publicURL.Host + "/" + mount}
		whole := form{"https://" + plain.Old, publicURL.Scheme + "://" + plain.New}
		escape := func(s string) string { return strings.ReplaceAll(s, "/", `\/`) }
		all = append(all,
			whole,
			form{escape(whole.Old), escape(whole.New)},
			form{url.QueryEscape(whole.Old), url.QueryEscape(whole.New)},
			plain,
			form{escape(plain.Old), escape(plain.New)},
		)
	}
	return all
}

// answer is a body that the upstream makes.
type answer struct {
	size    int  // at least so many bytes, if it is mapped by nobody
	many    bool // it holds addresses, two in each item, which has about 1.2 KB
	dense   bool // with many: its items are short, so that there is one in 280 bytes
	image   bool // it is no JSON
	zipped  bool // it comes compressed, if the request allows that
	chunked bool // its length is not said beforehand
	paused  bool // its second half comes a while later than the first
}

// query is the answer in a request to the upstream.
func (a answer) query() string {
	q := fmt.Sprintf("size=%d", a.size)
	for _, flag := range a.flags() {
		if *flag.is {
			q += "&" + flag.name + "=1"
		}
	}
	return q
}

type answerFlag struct {
	name string
	is   *bool
}

func (a *answer) flags() []answerFlag {
	return []answerFlag{{"many", &a.many}, {"dense", &a.dense}, {"image", &a.image}, {"zipped", &a.zipped}, {"chunked", &a.chunked}, {"paused", &a.paused}}
}

// parseAnswer is the reverse of query. The query is our own, so a number that is
// none is not worth an error: it makes an empty body, which nobody takes for right.
func parseAnswer(query url.Values) (a answer) {
	a.size, _ = strconv.Atoi(query.Get("size"))
	for _, flag := range a.flags() {
		*flag.is = query.Get(flag.name) == "1"
	}
	return a
}

// block is a body, or what is repeated to make one, and how often.
type block struct {
	bytes  []byte
	mapped []byte // what it has to be at the proxy
	zipped []byte // bytes, compressed
	repeat int
}

// blocks makes blocks once. It is safe for concurrent use.
type blocks struct {
	mu   sync.Mutex // guards made
	made map[answer]*block
}

// of returns the block for an answer. Those longer than large are large, repeated.
func (b *blocks) of(a answer) *block {
	repeat := max(1, a.size/large)
	key := answer{size: a.size / repeat, many: a.many, dense: a.dense, image: a.image}
	b.mu.Lock()
	defer b.mu.Unlock()
	made := b.made[key]
	if made == nil {
		made = &block{bytes: document(key)}
		if key.image {
			made.bytes = noise(key.size)
		}
		made.mapped = rename(made.bytes)
		made.zipped = zip(made.bytes)
		if b.made == nil {
			b.made = map[answer]*block{}
		}
		b.made[key] = made
	}
	whole := *made
	whole.repeat = repeat
	return &whole
}

// rename does what mapping has to, in the most simple way.
func rename(body []byte) []byte {
	var pairs []string
	for _, form := range forms() {
		pairs = append(pairs, form.Old, form.New)
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(body)))
}

// upstreamLevel is the level that the upstream compresses with: zlib's default.
const upstreamLevel = 6

func zip(body []byte) []byte {
	first, rest := zipHalves(body, nil)
	return append(first, rest...)
}

// zipHalves compresses two halves of a body; what the first becomes can be
// decompressed without the rest. An empty second half is none.
func zipHalves(first, second []byte) ([]byte, []byte) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, upstreamLevel)
	if err == nil {
		_, err = w.Write(first)
	}
	if err == nil && len(second) > 0 {
		err = w.Flush()
	}
	half := out.Len()
	if err == nil {
		_, err = w.Write(second)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer does not fail, and the level is right
	}
	return out.Bytes()[:half:half], out.Bytes()[half:]
}

// zipTo compresses repeated blocks, for those too long to be kept.
func zipTo(out io.Writer, b *block) error {
	w, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	for range b.repeat {
		if err == nil {
			_, err = w.Write(b.bytes)
		}
	}
	if err == nil {
		err = w.Close()
	}
	return err
}

// document makes an answer of a Portal's search, always the same, of at least so
// many bytes. Without addresses it has the same fields and is as long.
func document(a answer) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields(`trees of the city by district with species height and year of planting surveyed
		in spring roads parcels buildings hydrants soil water monitoring stations measured every hour contact
		the department for details about accuracy licence terms and updates quercus robur tilia cordata acer`)
	text := func(n int) string {
		picked := make([]string, n)
		for i := range picked {
			picked[i] = words[random.IntN(len(words))]
		}
		return strings.Join(picked, " ")
	}
	var out bytes.Buffer
	out.WriteString(`{"total":10000,"start":1,"num":100,"results":[`)
	for i := 0; out.Len() < a.size-len("]}\n"); i++ {
		id := make([]byte, 16)
		for j := range id {
			id[j] = byte(random.Uint32())
		}
		service := fmt.Sprintf("https://%s/server/rest/services/District_%d/FeatureServer", upstreamHost, i)
		home := fmt.Sprintf("https://%s/portal/home/item.html?id=%x", upstreamHost, id)
		preview := fmt.Sprintf("%s/portal/sharing/rest/content/items/%x/info", upstreamHost, id)
		if !a.many { // something that is as long
			service, home, preview = text(9), text(11), text(10)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"id":"%s","owner":"alice","created":%d,"title":"%s","type":"Feature Service","url":"%s","description":"%s","extent":[[%.6f,%.6f],[%.6f,%.6f]],`,
			hex.EncodeToString(id), 1600000000000+random.Int64N(1e11), text(4), service, text(24),
			random.Float64()*180, random.Float64()*90, random.Float64()*180, random.Float64()*90)
		if !a.dense {
			fmt.Fprintf(&out, `"orgId":"0123456789ABCDEF","isOrgItem":true,"modified":%d,"guid":null,"name":"District_%d",`+
				`"typeKeywords":["ArcGIS Server","Data","Feature Access","Feature Service","Metadata","Service","Singlelayer","Hosted Service"],`+
				`"tags":["%s","%s"],"snippet":"%s","thumbnail":"thumbnail/ago_downloaded.png","documentation":null,"categories":[],"spatialReference":"102100",`+
				`"accessInformation":"%s","licenseInfo":"%s","culture":"en-us","properties":null,"proxyFilter":null,"access":"org","size":-1,"subInfo":0,`+
				`"languages":[],"largeThumbnail":null,"banner":null,"screenshots":[],"listed":false,"numComments":0,"numRatings":0,"avgRating":0,"scoreCompleteness":%d,`,
				1600000000000+random.Int64N(1e11), i, text(1), text(2), text(9), text(4), text(7), random.IntN(100))
		}
		switch i % 3 {
		case 0:
			fmt.Fprintf(&out, `"page":"%s","numViews":%d}`, url.QueryEscape(home), random.IntN(1e6))
		case 1:
			fmt.Fprintf(&out, `"page":"%s","numViews":%d}`, strings.ReplaceAll(home, "/", `\/`), random.IntN(1e6))
		case 2:
			fmt.Fprintf(&out, `"preview":"%s","numViews":%d}`, preview, random.IntN(1e6))
		}
	}
	out.WriteString("]}\n")
	return out.Bytes()
}

// noise makes bytes that are no text and compress no further.
func noise(size int) []byte {
	random := rand.NewChaCha8([32]byte{})
	out := make([]byte, size)
	_, _ = random.Read(out) // it does not fail
	copy(out, "\x89PNG\r\n\x1a\n")
	return out
}
