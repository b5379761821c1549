package arcgis

import (
	"encoding/json"
	"strconv"
)

// json writes a feature set as f=json does. It is written by hand so that
// attributes come in the order of the fields, as ArcGIS has them.
func (r result) json() []byte {
	b := []byte(`{"objectIdFieldName":"` + r.layer.fields[0].Name + `","uniqueIdField":{"name":"` + r.layer.fields[0].Name +
		`","isSystemMaintained":true},"globalIdFieldName":"GlobalID",`)
	if r.query.geometry {
		b = append(b, `"geometryType":"esriGeometryPoint","spatialReference":`...)
		b = appendJSON(b, r.query.reference())
		b = append(b, ',')
	}
	b = append(b, `"fields":`...)
	described := make([]map[string]any, len(r.query.fields))
	for i, position := range r.query.fields {
		described[i] = r.layer.fields[position].describe()
	}
	b = appendJSON(b, described)
	if r.more {
		b = append(b, `,"exceededTransferLimit":true`...)
	}
	b = append(b, `,"features":[`...)
	for i, f := range r.rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"attributes":`...)
		b = r.attributes(b, f)
		if r.query.geometry {
			x, y := r.query.point(f)
			b = append(b, `,"geometry":{"x":`...)
			b = strconv.AppendFloat(b, x, 'f', -1, 64)
			b = append(b, `,"y":`...)
			b = strconv.AppendFloat(b, y, 'f', -1, 64)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// geojson writes a feature collection (RFC 7946) as f=geojson does.
func (r result) geojson() []byte {
	b := []byte(`{"type":"FeatureCollection"`)
	if r.more {
		// Older servers say it at the top, newer ones in properties.
		b = append(b, `,"exceededTransferLimit":true,"properties":{"exceededTransferLimit":true}`...)
	}
	b = append(b, `,"features":[`...)
	for i, f := range r.rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"type":"Feature","id":`...)
		b = strconv.AppendInt(b, f.id(), 10)
		b = append(b, `,"geometry":`...)
		if r.query.geometry {
			b = append(b, `{"type":"Point","coordinates":[`...)
			b = strconv.AppendFloat(b, f.x, 'f', -1, 64)
			b = append(b, ',')
			b = strconv.AppendFloat(b, f.y, 'f', -1, 64)
			b = append(b, "]}"...)
		} else {
			b = append(b, "null"...)
		}
		b = append(b, `,"properties":`...)
		b = r.attributes(b, f)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func (r result) attributes(b []byte, f *feature) []byte {
	b = append(b, '{')
	for i, position := range r.query.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, r.layer.fields[position].Name)
		b = append(b, ':')
		b = appendJSON(b, f.values[position])
	}
	return append(b, '}')
}

// appendJSON appends a value that is known to be encodable.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	text, err := encode(v, false)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, text...)
}

// describe says what a field is, as layers and feature sets do.
func (f field) describe() map[string]any {
	d := map[string]any{"name": f.Name, "type": f.Type, "alias": f.Alias, "sqlType": "sqlTypeOther", "domain": nil, "defaultValue": nil,
		"nullable": f.Editable, "editable": f.Editable}
	if f.Length > 0 {
		d["length"] = f.Length
	}
	return d
}

// row reads the JSON of one feature of an edit: attributes and a point.
type row struct {
	Attributes map[string]any `json:"attributes"`
	Geometry   *struct {
		X, Y             *float64
		SpatialReference struct {
			WKID int `json:"wkid"`
		}
	} `json:"geometry"`
}

// convert makes v, as JSON has it, a value of the field; ok is false if it is none.
func (f field) convert(v any) (value any, ok bool) {
	if v == nil {
		return nil, true
	}
	switch f.Type {
	case typeString, typeGlobal:
		s, ok := v.(string)
		return s, ok && (f.Length == 0 || len([]rune(s)) <= f.Length)
	case typeDouble:
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		x, err := n.Float64()
		return x, err == nil
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return nil, false
	}
	if i, err := n.Int64(); err == nil {
		return i, true
	}
	x, err := n.Float64()
	return int64(x), err == nil
}
