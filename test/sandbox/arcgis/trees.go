package arcgis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// treeCount is more than three pages of maxRecords.
const (
	treeCount  = 3200
	maxRecords = 1000
)

// field is a column of a layer.
type field struct {
	Name, Alias, Type string
	Length            int
	Editable          bool
}

// The types that the layers use.
const (
	typeOID    = "esriFieldTypeOID"
	typeGlobal = "esriFieldTypeGlobalID"
	typeString = "esriFieldTypeString"
	typeInt    = "esriFieldTypeInteger"
	typeDouble = "esriFieldTypeDouble"
	typeDate   = "esriFieldTypeDate"
)

// feature is a row: a point in WGS 84 and the values of the layer's fields, each
// an int64, float64, string or nil. Dates are milliseconds since 1970.
type feature struct {
	x, y   float64
	values []any
}

// id is the row's OBJECTID, which is always the first field.
func (f *feature) id() int64 { return f.values[0].(int64) }

// layer is layer 0 of a feature service.
type layer struct {
	name   string
	fields []field

	mu          sync.RWMutex // guards what follows
	rows        []*feature   // by OBJECTID
	nextID      int64
	attachments map[int64][]*attachment // by OBJECTID
	nextAttach  int64
}

// index returns the position of a field by name, -1 if there is none.
func (l *layer) index(name string) int {
	for i, f := range l.fields {
		if strings.EqualFold(f.Name, name) {
			return i
		}
	}
	return -1
}

// find returns the row with an OBJECTID. The caller holds l.mu.
func (l *layer) find(id int64) *feature {
	for _, f := range l.rows {
		if f.id() == id {
			return f
		}
	}
	return nil
}

// species are street trees of the Pacific Northwest, with the height they reach in metres.
var species = []struct {
	latin, common string
	height        float64
}{
	{"Acer platanoides", "Norway Maple", 18},
	{"Acer rubrum", "Red Maple", 20},
	{"Acer macrophyllum", "Bigleaf Maple", 25},
	{"Betula pendula", "European White Birch", 16},
	{"Carpinus betulus", "European Hornbeam", 14},
	{"Cercidiphyllum japonicum", "Katsura", 15},
	{"Cornus kousa", "Kousa Dogwood", 8},
	{"Crataegus laevigata", "English Hawthorn", 7},
	{"Fagus sylvatica", "European Beech", 24},
	{"Fraxinus pennsylvanica", "Green Ash", 19},
	{"Ginkgo biloba", "Ginkgo", 18},
	{"Gleditsia triacanthos", "Honey Locust", 17},
	{"Liquidambar styraciflua", "Sweetgum", 20},
	{"Magnolia grandiflora", "Southern Magnolia", 14},
	{"Malus × domestica", "Apple", 6},
	{"Platanus × acerifolia", "London Plane", 28},
	{"Prunus serrulata", "Japanese Flowering Cherry", 9},
	{"Pseudotsuga menziesii", "Douglas-fir", 45},
	{"Quercus garryana", "Oregon White Oak", 22},
	{"Quercus rubra", "Northern Red Oak", 24},
	{"Thuja plicata", "Western Redcedar", 38},
	{"Tilia cordata", "Littleleaf Linden", 18},
	{"Ulmus americana", "American Elm", 26},
	{"Zelkova serrata", "Japanese Zelkova", 17},
}

var (
	streets    = []string{"Alder", "Belmont", "Clinton", "Division", "Everett", "Flanders", "Glisan", "Hoyt", "Irving", "Johnson", "Kearney", "Lovejoy", "Morrison", "Northrup", "Overton", "Pettygrove", "Quimby", "Raleigh", "Salmon", "Taylor"}
	conditions = []string{"Good", "Good", "Good", "Fair", "Fair", "Poor", "Dead"}
)

// linked says which rows' notes hold an address: every one whose OBJECTID is a
// multiple of it.
const linked = 400

// newTrees makes a layer of the street trees. A few have notes that name a page of
// the Portal at base, in the ways that people write that down, and one of those
// has files attached that do. They are somebody's data: whatever lies between has
// to leave them as they are.
func newTrees(base string) *layer {
	rows := slices.Clone(grown())
	ways := []string{
		"See " + base + "/home/item.html?id=" + treesItem + ".",
		`{"href":"` + strings.ReplaceAll(base, "/", `\/`) + `"}`,
		"<a href='" + base + "/home/'>map</a>",
		strings.NewReplacer(":", "%3A", "/", "%2F").Replace(base),
	}
	for i := linked - 1; i < len(rows); i += linked {
		row := *rows[i]
		row.values = slices.Clone(row.values)
		row.values[len(row.values)-1] = ways[i/linked%len(ways)]
		rows[i] = &row
	}
	attachments := make(map[int64][]*attachment)
	for i, f := range []file{
		{Name: "where.txt", Type: "text/plain", Data: []byte("The map is at " + base + "/home/\n")},
		{Name: "where.json", Type: "application/json", Data: []byte(`{"map":"` + base + `/home/"}`)},
	} {
		sum := sha256.Sum256(f.Data)
		f.Size, f.SHA256 = int64(len(f.Data)), hex.EncodeToString(sum[:])
		attachments[linked] = append(attachments[linked], &attachment{id: int64(9001 + i), file: &f})
	}
	return &layer{
		name: "Street trees",
		fields: []field{
			{Name: "OBJECTID", Alias: "OBJECTID", Type: typeOID},
			{Name: "GlobalID", Alias: "GlobalID", Type: typeGlobal, Length: 38},
			{Name: "Species", Alias: "Species", Type: typeString, Length: 60, Editable: true},
			{Name: "CommonName", Alias: "Common name", Type: typeString, Length: 60, Editable: true},
			{Name: "HeightM", Alias: "Height (m)", Type: typeDouble, Editable: true},
			{Name: "TrunkCM", Alias: "Trunk diameter (cm)", Type: typeInt, Editable: true},
			{Name: "Planted", Alias: "Planting date", Type: typeDate, Length: 8, Editable: true},
			{Name: "Address", Alias: "Address", Type: typeString, Length: 80, Editable: true},
			{Name: "Condition", Alias: "Condition", Type: typeString, Length: 12, Editable: true},
			{Name: "Notes", Alias: "Notes", Type: typeString, Length: 200, Editable: true},
		},
		nextID:      treeCount + 1,
		attachments: attachments,
		nextAttach:  1,
		rows:        rows,
	}
}

// grown returns the street trees, which are the same in every run. Layers share
// them, because a row is never changed in place.
var grown = sync.OnceValue(func() (rows []*feature) {
	rng := rand.New(rand.NewPCG(45, 122))
	first := time.Date(1948, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range treeCount {
		s := species[rng.IntN(len(species))]
		street, block := i%len(streets), i/len(streets)
		years := rng.Float64() * 74
		planted := first.AddDate(0, 0, int(years*365.25))
		share := 1 - math.Exp(-(77-years)/25) // young trees are small
		height := math.Round(10*s.height*share*(0.8+0.4*rng.Float64())) / 10
		var notes any
		switch rng.IntN(12) {
		case 0:
			notes = "Sidewalk lifted; see owner's letter"
		case 1:
			notes = "Überhang zur Straße, 50% <pruned> & checked"
		}
		rows = append(rows, &feature{
			x: round7(-122.70 + float64(block)*0.0007 + rng.Float64()*0.0002),
			y: round7(45.505 + float64(street)*0.0011 + rng.Float64()*0.0001),
			values: []any{
				int64(i + 1),
				fmt.Sprintf("{%08X-%04X-4%03X-A%03X-%012X}", rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<12), rng.IntN(1<<12), rng.Int64N(1<<48)),
				s.latin, s.common, height,
				int64(4 + height*2.2*(0.7+0.6*rng.Float64())),
				planted.UnixMilli(),
				fmt.Sprintf("%d NW %s St", 100+block*20+rng.IntN(20), streets[street]),
				conditions[rng.IntN(len(conditions))],
				notes,
			},
		})
	}
	return rows
})

func round7(f float64) float64 { return math.Round(f*1e7) / 1e7 }
