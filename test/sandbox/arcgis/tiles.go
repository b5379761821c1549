package arcgis

import (
	"net/http"
	"path"
	"strings"
)

// vectorTiles answers a vector tile service: its description, its style, and the
// files that the style names with absolute addresses.
func (s *site) vectorTiles(c *call, v *service, below []string) {
	say := c.p.choose.spell
	here := s.base(c) + "/rest/services/" + v.name + "/" + v.kind
	switch op := path.Join(below...); {
	case op == "":
		c.lead("Style", "VectorTileServer/resources/styles/root.json")
		c.reply(map[string]any{"currentVersion": 11.3, "name": v.name, "capabilities": "TilesOnly", "type": "indexedVector", "tileMap": "tilemap",
			"defaultStyles": "resources/styles", "tiles": []string{"tile/{z}/{y}/{x}.pbf"}, "exportTilesAllowed": false, "maxzoom": 19,
			"resourceInfo": map[string]any{"styleVersion": 8, "tileCompression": "gzip", "cacheInfo": map[string]any{"storageInfo": map[string]any{"packetSize": 128, "storageFormat": "compactV2"}}},
			"fullExtent":   fullExtent(s.p.trees), "serviceItemId": webMapItem})
	case op == "resources/styles" || op == "resources/styles/root.json":
		c.form.Set("f", "json") // it is a file, and has no other view
		c.reply(map[string]any{"version": 8, "sprite": say(here + "/resources/sprites/sprite"), "glyphs": say(here) + "/resources/fonts/{fontstack}/{range}.pbf",
			"sources": map[string]any{"esri": map[string]any{"type": "vector", "url": say(here), "tiles": []string{here + "/tile/{z}/{y}/{x}.pbf"}}},
			"layers":  []map[string]any{{"id": "Land", "type": "background", "paint": map[string]any{"background-color": "#f3f1ea"}}}})
	case op == "resources/sprites/sprite.json":
		c.form.Set("f", "json")
		c.reply(map[string]any{"tree": map[string]any{"x": 0, "y": 0, "width": 1, "height": 1, "pixelRatio": 1}})
	case op == "resources/sprites/sprite" || op == "resources/sprites/sprite.png":
		c.bytes(http.StatusOK, "image/png", onePixel)
	case strings.HasPrefix(op, "tile/") || strings.HasPrefix(op, "resources/fonts/"):
		// A tile without layers is an empty message.
		c.bytes(http.StatusOK, pbfType, nil)
	default:
		c.missing()
	}
}
