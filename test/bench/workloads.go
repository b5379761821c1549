package main

import "fmt"

// workload is one kind of request, and what answering it may cost at most, in
// multiples of the bare proxy's processor time; 0: no goal is set.
type workload struct {
	name   string
	answer answer
	// Where it is asked for: mapped is a path whose answers are mapped, left one
	// where the same answer is none of mapping's business. mapped may be "".
	mapped, left string

	goalMapped, goalLeft float64
	belowNginx           bool // and mapping it costs less than nginx
}

// On these paths. The names are Esri's: items are followed, features are data.
const (
	followed = "/portal/sharing/rest/search"
	data     = "/server/rest/services/Trees/FeatureServer/0/query"
	tiles    = "/server/rest/services/Trees/MapServer/tile/1/2/3"
)

// Sizes of bodies, in bytes.
const (
	small  = 1 << 10
	tile   = 20 << 10
	medium = 60 << 10
	large  = 8 << 20
	huge   = 100 << 20
)

var workloads = []workload{
	{name: "1 KB", answer: answer{size: small}, mapped: followed, left: data, goalMapped: 1.05, goalLeft: 1.05},
	{name: "20 KB tile", answer: answer{size: tile, image: true}, left: tiles},
	{name: "20 KB, chunked", answer: answer{size: tile, chunked: true}, mapped: followed, left: data},
	{name: "60 KB, no URLs", answer: answer{size: medium}, mapped: followed, left: data, goalMapped: 1.35, goalLeft: 1.10},
	{name: "60 KB, many URLs", answer: answer{size: medium, many: true}, mapped: followed, left: data, goalMapped: 1.35, goalLeft: 1.10},
	{name: "8 MB, no URLs", answer: answer{size: large}, mapped: followed, left: data, goalMapped: 1.15, belowNginx: true},
	{name: "8 MB, many URLs", answer: answer{size: large, many: true}, mapped: followed, left: data, goalMapped: 1.40, belowNginx: true},
	// An address in 280 bytes is more than a Portal says anywhere. No goal is set.
	{name: "8 MB, dense URLs", answer: answer{size: large, many: true, dense: true}, mapped: followed, left: data},
	{name: "60 KB, gzip", answer: answer{size: medium, many: true, zipped: true}, mapped: followed, left: data},
	{name: "8 MB, gzip", answer: answer{size: large, many: true, zipped: true}, mapped: followed, left: data},
}

const (
	// goalAllocations is how many allocations more than the bare proxy are
	// allowed where nothing is mapped.
	goalAllocations = 12
	// goalCodec is what mapping a compressed body may cost, in multiples of
	// decompressing and compressing it alone.
	goalCodec = 1.2
	// goalFirst is how much later the first byte may come, in milliseconds.
	goalFirst = 1.0
	// goalNone and goalMany are what the scanner does at least, in GB/s.
	goalNone, goalMany = 2.0, 1.0
	// Memory, in bytes: resident while idle, more than that at the peak, and how
	// much higher the peak may be for a body more than ten times as long.
	goalIdle = 40 << 20
	goalRise = 40 << 20
	goalFlat = 4 << 20
)

// parallel is how many connections a workload comes by.
func (w workload) parallel(s settings) int {
	if w.answer.size >= large {
		return min(s.conns, 4)
	}
	return s.conns
}

// at is the request target for the workload's answer at a path.
func (w workload) at(path string) string {
	return fmt.Sprintf("%s?f=json&%s", path, w.answer.query())
}
