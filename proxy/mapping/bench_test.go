package mapping

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// features is an answer to a query, in which there is no address.
func features(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"objectIdFieldName":"OBJECTID","geometryType":"esriGeometryPoint","spatialReference":{"wkid":102100,"latestWkid":3857},"features":[`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `{"attributes":{"OBJECTID":%d,"GlobalID":"{%08X-1F2B-4C3D-8E9F-A0B1C2D3E4F5}","name":"Tilia cordata, Example Street %d","height":%d.%d,"inspected":1700000%06d,"comment":"see the plan, sheet %d"},"geometry":{"x":%d.%06d,"y":%d.%06d}},`, i, i*2654435761, i%97, i%30, i%10, i%1000000, i%12, 1000000+i*7, i*31%1000000, 6000000+i*13, i*17%1000000)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// items is an answer to a search, with two addresses in an item of 480 bytes.
func items(size int) []byte {
	var b bytes.Buffer
	rnd := rand.New(rand.NewPCG(1, 2))
	b.WriteString(`{"total":1000,"results":[`)
	for i := 0; b.Len() < size; i++ {
		id := fmt.Sprintf("%016x%016x", rnd.Uint64(), rnd.Uint64())
		fmt.Fprintf(&b, `{"id":"%s","owner":"alice","orgId":"0123456789ABCDEF","created":17%011d,"modified":17%011d,"title":"Trees %d","type":"Feature Service","typeKeywords":["ArcGIS Server","Data","Feature Access","Feature Service","Service"],"tags":["trees","district %d"],"snippet":"as surveyed in %d","extent":[[%.6f,%.6f],[%.6f,%.6f]],"url":"https://gis.example.com/server/rest/services/Trees%d/FeatureServer","thumbnail":"https:\/\/gis.example.com\/portal\/sharing\/rest\/content\/items\/%s","access":"org"},`,
			id, rnd.Uint64N(1e11), rnd.Uint64N(1e11), i, rnd.IntN(40), 1990+rnd.IntN(30), rnd.Float64(), rnd.Float64(), rnd.Float64(), rnd.Float64(), i, id)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// dense has an address in every 40 bytes.
func dense(size int) []byte {
	return bytes.Repeat([]byte(`"https://gis.example.com/server/rest/x",`), size/40)
}

var bodies = []struct {
	name string
	make func(int) []byte
}{{"none", features}, {"many", items}, {"dense", dense}}

func BenchmarkScan(b *testing.B) {
	scanners := []struct {
		name string
		m    *Map
	}{
		{"shrink", newMap(b, public, portal, server)},
		{"grow", newMap(b, "https://arcproxy.example.com:8443", portal, server)},
		{"hosts", newMap(b, public, portal, server, "https://maps.example.org/arcgis", "https://imagery.example.com/image")},
		{"short", newMap(b, public, "https://gis/portal", "https://gis.example.com/server")},
	}
	for _, body := range bodies {
		text := body.make(1 << 20)
		for _, c := range scanners {
			s := c.m.Outbound()
			b.Run(body.name+"/"+c.name+"/whole", func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					s.Bytes(text)
				}
			})
			b.Run(body.name+"/"+c.name+"/stream", func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				src := bytes.NewReader(text)
				r := s.NewReader(src)
				p := make([]byte, 32<<10)
				for b.Loop() {
					src.Reset(text)
					r.Reset(src)
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPathological has texts that are nearly addresses all over: a MiB and four,
// which have to be equally fast.
func BenchmarkPathological(b *testing.B) {
	s := newMap(b, public, portal, server).Outbound()
	for _, unit := range []string{"https://", "gis.example.com", "https://gis.example.com/porta", "https://gis.example.com:", "//gis.example.com/portal", ".com", "m", `\`, "%25", "&#x2F;", "/", "customBaseUrl=gis.example.com:"} {
		for _, size := range []int{1, 4} {
			text := []byte(strings.Repeat(unit, size<<20/len(unit)))
			b.Run(fmt.Sprintf("%s/%dMiB", strings.ReplaceAll(unit, "/", "|"), size), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				src := bytes.NewReader(text)
				r := s.NewReader(src)
				p := make([]byte, 32<<10)
				for b.Loop() {
					src.Reset(text)
					r.Reset(src)
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A source of one byte at a time is the slowest there is.
func BenchmarkByteAtATime(b *testing.B) {
	s := newMap(b, public, portal, server).Outbound()
	text := string(items(64 << 10))
	b.SetBytes(int64(len(text)))
	r := s.NewReader(nil)
	p := make([]byte, 32<<10)
	for b.Loop() {
		r.Reset(&pieces{text: text, err: io.EOF})
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, p); err != nil {
			b.Fatal(err)
		}
	}
}

func zipped(t testing.TB, text []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// BenchmarkGzip is of GzipReader, beside decompressing and compressing alone with the
// same library. The two take turns, and the best round of each counts, as a machine
// that does something else, too, is only ever slower.
func BenchmarkGzip(b *testing.B) {
	s := newMap(b, public, portal, server).Outbound()
	var unzip gzip.Reader
	zip, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		b.Fatal(err)
	}
	plain, p := make([]byte, plainAtOnce), make([]byte, 32<<10)
	for _, body := range bodies[:2] {
		for _, size := range []int{60 << 10, 8 << 20} {
			text := body.make(size)
			in := zipped(b, text, 6)
			for _, most := range []int{1 << 20, 4 << 10} { // how much the source gives at once
				b.Run(fmt.Sprintf("%s/%dKiB/by%dKiB", body.name, size>>10, most>>10), func(b *testing.B) {
					alone, mapped := time.Hour, time.Hour
					var length counter
					for b.Loop() {
						began := time.Now()
						if err := unzip.Reset(bufio.NewReaderSize(&short{bytes.NewReader(in), most}, compressedAtOnce)); err != nil {
							b.Fatal(err)
						}
						zip.Reset(io.Discard)
						if _, err := io.CopyBuffer(struct{ io.Writer }{zip}, struct{ io.Reader }{&unzip}, plain); err != nil {
							b.Fatal(err)
						}
						if err := zip.Close(); err != nil {
							b.Fatal(err)
						}
						alone = min(alone, time.Since(began))

						began = time.Now()
						length = 0
						r := s.NewGzipReader(&short{bytes.NewReader(in), most})
						if _, err := io.CopyBuffer(&length, r, p); err != nil {
							b.Fatal(err)
						}
						_ = r.Close()
						mapped = min(mapped, time.Since(began))
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(len(text))/alone.Seconds()/1e6, "alone-MB/s")
					b.ReportMetric(float64(len(text))/mapped.Seconds()/1e6, "mapped-MB/s")
					b.ReportMetric(mapped.Seconds()/alone.Seconds(), "ratio")
					b.ReportMetric(float64(length)/float64(len(in)), "length-ratio")
				})
			}
		}
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// short gives at most so much at once.
type short struct {
	io.Reader
	at int
}

func (s *short) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.at)]) }
