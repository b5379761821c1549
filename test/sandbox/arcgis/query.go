package arcgis

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// query is a layer query, read from a request.
type query struct {
	where    condition
	ids      map[int64]bool // nil: all
	inside   func(x, y float64) bool
	fields   []int // positions of outFields
	order    []sortKey
	offset   int
	limit    int
	geometry bool
	mercator bool // answer in Web Mercator instead of WGS 84
	grid     *grid
}

// grid is what coordinates of a pbf answer are counted in: steps of a size, from
// the upper left corner.
type grid struct{ left, top, step float64 }

type sortKey struct {
	field int
	down  bool
}

// result is what a query found.
type result struct {
	layer *layer
	query *query
	rows  []*feature
	more  bool // exceededTransferLimit
}

// parseQuery reads the parameters of a query operation
// (https://developers.arcgis.com/rest/services-reference/enterprise/query-feature-service-layer/).
func (c *call) parseQuery(l *layer) (*query, error) {
	q := &query{geometry: c.truth("returnGeometry", true), limit: maxRecords}
	if c.get("where") == "" && c.get("objectIds") == "" && c.get("geometry") == "" {
		return nil, errors.New("a query needs where, objectIds or geometry")
	}
	if c.get("outStatistics") != "" || c.truth("returnDistinctValues", false) {
		return nil, errors.New("statistics and distinct values are not supported by this layer")
	}
	q.where = func([]any) truth { return yes }
	if w := c.get("where"); w != "" {
		var err error
		if q.where, err = parseWhere(w, l); err != nil {
			return nil, err
		}
	}
	if ids := c.get("objectIds"); ids != "" {
		q.ids = make(map[int64]bool)
		for text := range strings.SplitSeq(ids, ",") {
			id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				return nil, errors.New("'objectIds' parameter is invalid")
			}
			q.ids[id] = true
		}
	}
	var err error
	if q.inside, err = c.parseGeometry(); err != nil {
		return nil, err
	}
	if q.fields, err = parseOutFields(c.get("outFields"), l); err != nil {
		return nil, err
	}
	if q.order, err = parseOrder(c.get("orderByFields"), l); err != nil {
		return nil, err
	}
	for name, into := range map[string]*int{"resultOffset": &q.offset, "resultRecordCount": &q.limit} {
		if text := c.get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("'%s' parameter is invalid", name)
			}
			*into = n
		}
	}
	q.limit = min(q.limit, maxRecords)
	switch wkid(c.get("outSR"), 4326) {
	case 4326:
	case 3857, 102100:
		q.mercator = true
	default:
		return nil, errors.New("'outSR' is not supported by this layer")
	}
	if q.grid, err = parseGrid(c.get("quantizationParameters")); err != nil {
		return nil, err
	}
	if c.format() == "geojson" {
		q.mercator = false // RFC 7946 knows only WGS 84
	}
	return q, nil
}

// parseGrid reads quantizationParameters, as maps send them that draw tiles. They
// hold for pbf only; as JSON, coordinates are never quantized.
func parseGrid(text string) (*grid, error) {
	if text == "" {
		return nil, nil
	}
	var wanted struct {
		Extent    struct{ XMin, YMax float64 }
		Tolerance float64
		Origin    string `json:"originPosition"`
	}
	if err := json.Unmarshal([]byte(text), &wanted); err != nil || !(wanted.Tolerance > 0) || wanted.Origin != "" && wanted.Origin != "upperLeft" {
		return nil, errors.New("'quantizationParameters' parameter is invalid")
	}
	return &grid{left: wanted.Extent.XMin, top: wanted.Extent.YMax, step: wanted.Tolerance}, nil
}

func parseOutFields(text string, l *layer) ([]int, error) {
	var positions []int
	if text == "" {
		return []int{0}, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name == "*" {
			positions = positions[:0]
			for i := range l.fields {
				positions = append(positions, i)
			}
			return positions, nil
		}
		i := l.index(name)
		if i < 0 {
			return nil, errors.New("'outFields' parameter is invalid")
		}
		if !slices.Contains(positions, i) {
			positions = append(positions, i)
		}
	}
	return positions, nil
}

func parseOrder(text string, l *layer) ([]sortKey, error) {
	var keys []sortKey
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		k := sortKey{field: l.index(words[0])}
		if len(words) > 1 {
			k.down = strings.EqualFold(words[1], "DESC")
		}
		if k.field < 0 || len(words) > 2 || len(words) == 2 && !k.down && !strings.EqualFold(words[1], "ASC") {
			return nil, errors.New("'orderByFields' parameter is invalid")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// wkid reads a spatial reference: a number, or JSON with a wkid.
func wkid(text string, otherwise int) int {
	if text == "" {
		return otherwise
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	var sr struct {
		WKID int `json:"wkid"`
	}
	if json.Unmarshal([]byte(text), &sr) != nil {
		return -1
	}
	return sr.WKID
}

// parseGeometry reads the geometry filter: an envelope, as JSON or as
// "xmin,ymin,xmax,ymax", a point, or a polygon. No filter lets all pass.
func (c *call) parseGeometry() (func(x, y float64) bool, error) {
	text := c.get("geometry")
	if text == "" {
		return func(x, y float64) bool { return true }, nil
	}
	bad := errors.New("'geometry' parameter is invalid")
	var g struct {
		XMin, YMin, XMax, YMax, X, Y *float64
		Rings                        [][][]float64
		SpatialReference             struct {
			WKID int `json:"wkid"`
		}
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		if json.Unmarshal([]byte(text), &g) != nil {
			return nil, bad
		}
	} else {
		var n []float64
		for part := range strings.SplitSeq(text, ",") {
			f, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil {
				return nil, bad
			}
			n = append(n, f)
		}
		switch len(n) {
		case 2:
			g.X, g.Y = &n[0], &n[1]
		case 4:
			g.XMin, g.YMin, g.XMax, g.YMax = &n[0], &n[1], &n[2], &n[3]
		default:
			return nil, bad
		}
	}
	to := func(x, y float64) (float64, float64) { return x, y }
	in := g.SpatialReference.WKID
	if in == 0 {
		in = 4326
	}
	switch wkid(c.get("inSR"), in) {
	case 4326:
	case 3857, 102100:
		to = fromMercator
	default:
		return nil, errors.New("'inSR' is not supported by this layer")
	}
	switch {
	case g.XMin != nil && g.YMin != nil && g.XMax != nil && g.YMax != nil:
		x1, y1 := to(*g.XMin, *g.YMin)
		x2, y2 := to(*g.XMax, *g.YMax)
		return func(x, y float64) bool { return x >= x1 && x <= x2 && y >= y1 && y <= y2 }, nil
	case g.X != nil && g.Y != nil:
		px, py := to(*g.X, *g.Y)
		return func(x, y float64) bool { return math.Abs(x-px) < 1e-7 && math.Abs(y-py) < 1e-7 }, nil
	case len(g.Rings) > 0:
		for _, ring := range g.Rings {
			for _, v := range ring {
				if len(v) < 2 {
					return nil, bad
				}
				v[0], v[1] = to(v[0], v[1])
			}
		}
		return func(x, y float64) bool { return insideRings(g.Rings, x, y) }, nil
	}
	return nil, bad
}

// insideRings counts the edges to the right of a point, over all rings: odd is inside.
func insideRings(rings [][][]float64, x, y float64) bool {
	inside := false
	for _, ring := range rings {
		for i, j := 0, len(ring)-1; i < len(ring); j, i = i, i+1 {
			a, b := ring[i], ring[j]
			if (a[1] > y) != (b[1] > y) && x < (b[0]-a[0])*(y-a[1])/(b[1]-a[1])+a[0] {
				inside = !inside
			}
		}
	}
	return inside
}

// earth is the radius of Web Mercator's sphere in metres.
const earth = 6378137.0

func fromMercator(x, y float64) (lon, lat float64) {
	return x / earth * 180 / math.Pi, (2*math.Atan(math.Exp(y/earth)) - math.Pi/2) * 180 / math.Pi
}

func toMercator(lon, lat float64) (x, y float64) {
	return lon * math.Pi / 180 * earth, math.Log(math.Tan(math.Pi/4+lat*math.Pi/360)) * earth
}

// matching returns all rows that a query selects, sorted, without paging.
func (l *layer) matching(q *query) []*feature {
	l.mu.RLock()
	var rows []*feature
	for _, f := range l.rows {
		if (q.ids == nil || q.ids[f.id()]) && q.inside(f.x, f.y) && q.where(f.values) == yes {
			rows = append(rows, f)
		}
	}
	l.mu.RUnlock()
	if len(q.order) > 0 {
		slices.SortStableFunc(rows, func(a, b *feature) int {
			for _, k := range q.order {
				order, ok := compare(a.values[k.field], b.values[k.field])
				if !ok { // NULLs first
					order = boolOrder(a.values[k.field] != nil, b.values[k.field] != nil)
				}
				if k.down {
					order = -order
				}
				if order != 0 {
					return order
				}
			}
			return 0
		})
	}
	return rows
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// run selects one page.
func (l *layer) run(q *query) result {
	rows := l.matching(q)
	rows = rows[min(q.offset, len(rows)):]
	r := result{layer: l, query: q, rows: rows}
	if len(rows) > q.limit {
		r.rows, r.more = rows[:q.limit], true
	}
	return r
}

// point returns a row's coordinates in the reference that was asked for.
func (q *query) point(f *feature) (x, y float64) {
	if q.mercator {
		return toMercator(f.x, f.y)
	}
	return f.x, f.y
}

func (q *query) reference() map[string]any {
	if q.mercator {
		return map[string]any{"wkid": 102100, "latestWkid": 3857}
	}
	return map[string]any{"wkid": 4326, "latestWkid": 4326}
}

// query answers …/FeatureServer/0/query.
func (c *call) query(l *layer) {
	q, err := c.parseQuery(l)
	if err != nil {
		c.refuse(refusal{code: 400, message: "Cannot perform query. Invalid query parameters.", details: []string{err.Error()}})
		return
	}
	format := c.format()
	switch format {
	case "html", "json", "pjson", "geojson", "pbf":
	default:
		c.refuse(refusal{code: 400, message: "Invalid format", details: []string{"'f' parameter is invalid"}})
		return
	}
	switch {
	case c.truth("returnCountOnly", false):
		n := len(l.matching(q))
		if format == "pbf" {
			c.bytes(200, pbfType, pbfCount(n))
			return
		}
		c.reply(map[string]any{"count": n})
	case c.truth("returnIdsOnly", false):
		rows := l.matching(q)
		ids := make([]int64, len(rows))
		for i, f := range rows {
			ids[i] = f.id()
		}
		if format == "pbf" {
			c.bytes(200, pbfType, pbfIDs(l.fields[0].Name, ids))
			return
		}
		c.reply(map[string]any{"objectIdFieldName": l.fields[0].Name, "objectIds": ids})
	case c.truth("returnExtentOnly", false):
		rows := l.matching(q)
		c.reply(map[string]any{"count": len(rows), "extent": q.extent(rows)})
	default:
		r := l.run(q)
		switch format {
		case "pbf":
			c.bytes(200, pbfType, r.pbf())
		case "geojson":
			c.bytes(200, "application/geo+json; charset=utf-8", r.geojson())
		default:
			c.reply(json.RawMessage(r.json()))
		}
	}
}

// extent returns the envelope of rows.
func (q *query) extent(rows []*feature) map[string]any {
	e := map[string]any{"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN", "spatialReference": q.reference()}
	if len(rows) == 0 {
		return e
	}
	x1, y1 := q.point(rows[0])
	x2, y2 := x1, y1
	for _, f := range rows[1:] {
		x, y := q.point(f)
		x1, y1, x2, y2 = min(x1, x), min(y1, y), max(x2, x), max(y2, y)
	}
	e["xmin"], e["ymin"], e["xmax"], e["ymax"] = x1, y1, x2, y2
	return e
}
