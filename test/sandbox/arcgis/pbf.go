package arcgis

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// pbfType is the media type of f=pbf.
const pbfType = "application/x-protobuf"

// Positions in Esri's FeatureCollection.proto
// (https://github.com/Esri/arcgis-pbf). Only what point layers need is here.
const (
	pbfVersion, pbfQueryResult                     = 1, 2
	pbfFeatureResult, pbfCountResult, pbfIDsResult = 1, 2, 3
)

// pbfFieldTypes numbers the field types.
var pbfFieldTypes = map[string]uint64{typeInt: 1, typeDouble: 3, typeString: 4, typeDate: 5, typeOID: 6, typeGlobal: 11}

// message appends a nested message.
func message(b []byte, n protowire.Number, inner []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), inner)
}

func text(b []byte, n protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func varint(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func double(b []byte, n protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(v))
}

// pbfAnswer wraps one of the three kinds of result.
func pbfAnswer(kind protowire.Number, inner []byte) []byte {
	return message(text(nil, pbfVersion, "2.1"), pbfQueryResult, message(nil, kind, inner))
}

func pbfCount(n int) []byte { return pbfAnswer(pbfCountResult, varint(nil, 1, uint64(n))) }

func pbfIDs(field string, ids []int64) []byte {
	var packed []byte
	for _, id := range ids {
		packed = protowire.AppendVarint(packed, uint64(id))
	}
	return pbfAnswer(pbfIDsResult, message(text(nil, 1, field), 3, packed))
}

// pbf writes a feature set as FeatureResult: coordinates are whole numbers of
// a ten-millionth of a degree, or of a millimetre, from the upper left corner of the
// features, if the request does not say what else.
func (r result) pbf() []byte {
	scale, wkid, latest := 1e-7, uint64(4326), uint64(4326)
	if r.query.mercator {
		scale, wkid, latest = 1e-3, 102100, 3857
	}
	left, top := math.Inf(1), math.Inf(-1)
	for _, f := range r.rows {
		x, y := r.query.point(f)
		left, top = min(left, x), max(top, y)
	}
	if len(r.rows) == 0 {
		left, top = 0, 0
	}
	if g := r.query.grid; g != nil {
		left, top, scale = g.left, g.top, g.step
	}
	oid := r.layer.fields[0].Name
	b := text(nil, 1, oid)
	b = message(b, 2, varint(text(nil, 1, oid), 2, 1))
	b = text(b, 3, "GlobalID")
	if r.query.geometry {
		// geometryType 7 is esriGeometryTypePoint, which is 0 and so is not written
		b = message(b, 8, varint(varint(nil, 1, wkid), 2, latest))
	}
	if r.more {
		b = varint(b, 9, 1)
	}
	if r.query.geometry {
		// quantizeOriginPostion is upperLeft: 0, not written
		transform := message(nil, 2, double(double(nil, 1, scale), 2, scale))
		b = message(b, 12, message(transform, 3, double(double(nil, 1, left), 2, top)))
	}
	for _, position := range r.query.fields {
		f := r.layer.fields[position]
		d := varint(text(nil, 1, f.Name), 2, pbfFieldTypes[f.Type])
		b = message(b, 13, varint(text(d, 3, f.Alias), 4, 16)) // 16 is sqlTypeOther
	}
	for _, f := range r.rows {
		var row []byte
		for _, position := range r.query.fields {
			row = message(row, 1, pbfValue(f.values[position]))
		}
		if r.query.geometry {
			x, y := r.query.point(f)
			coords := protowire.AppendVarint(nil, protowire.EncodeZigZag(int64(math.Round((x-left)/scale))))
			coords = protowire.AppendVarint(coords, protowire.EncodeZigZag(int64(math.Round((top-y)/scale))))
			row = message(row, 2, message(nil, 3, coords))
		}
		b = message(b, 15, row)
	}
	return pbfAnswer(pbfFeatureResult, b)
}

// pbfValue writes an attribute; NULL is a Value with nothing in it.
func pbfValue(v any) []byte {
	switch v := v.(type) {
	case string:
		return text(nil, 1, v)
	case float64:
		return double(nil, 3, v)
	case int64:
		return varint(nil, 6, uint64(v))
	}
	return nil
}
