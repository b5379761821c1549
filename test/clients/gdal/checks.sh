#!/usr/bin/env bash
# GDAL through the proxy: its ESRIJSON driver reads a feature layer page by page.
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

layer=localhost:$PROXY_PORT/server/rest/services/Trees/FeatureServer/0/query?where=1%3D1\&outFields=*\&f=json
export CURL_CA_BUNDLE=$PROXY_ROOT GDAL_HTTP_TIMEOUT=60 GDAL_HTTP_MAX_RETRY=0

# trees DATASET expects a layer with all 3,200 trees, more than three pages of them.
trees() {
	local said
	said=$(timeout 60 ogrinfo -ro -so -al "$1")
	grep -qx 'Feature Count: 3200' <<<"$said" || { echo "$said"; return 1; }
	grep -q '^CommonName: String' <<<"$said" || { echo "$said"; return 1; }
}
plain() { trees "http://$layer"; }
tls() { trees "https://$layer"; }
header() { GDAL_HTTP_HEADERS="X-Esri-Authorization: Bearer $CALLER_KEY" trees "https://$layer"; }
in_url() { trees "https://anyone:$CALLER_KEY@$layer"; }
as_token() { trees "https://$layer&token=$CALLER_KEY"; }
wrong_key() {
	! GDAL_HTTP_HEADERS="X-Esri-Authorization: Bearer WRONG$CALLER_KEY" trees "https://$layer"
}
# geojson copies all features and counts them in the copy.
geojson() {
	local to=$RUN/trees.geojson
	rm -f "$to"
	GDAL_HTTP_HEADERS="X-Esri-Authorization: Bearer $CALLER_KEY" timeout 90 ogr2ogr -f GeoJSON "$to" "https://$layer"
	python3 - "$to" <<'PY'
import json, sys
features = json.load(open(sys.argv[1], encoding="utf-8"))["features"]
ids = {f["properties"]["OBJECTID"] for f in features}
notes = [f["properties"].get("Notes") for f in features]  # one is JSON, which GDAL takes apart
assert len(features) == 3200 and ids == set(range(1, 3201)), (len(features), len(ids))
assert "Überhang zur Straße, 50% <pruned> & checked" in notes, notes[:20]
assert all(-123 < f["geometry"]["coordinates"][0] < -122 for f in features)
PY
}
# filtered has the server select by attribute, and GDAL read only that.
filtered() {
	local said
	said=$(timeout 60 ogrinfo -ro -so -al "http://${layer/where=1%3D1/where=Species%20LIKE%20%27Acer%25%27}")
	grep -Eq '^Feature Count: [1-9][0-9]*$' <<<"$said" && ! grep -qx 'Feature Count: 3200' <<<"$said" || { echo "$said"; return 1; }
}
# reader is a caller that may only read.
reader() { GDAL_HTTP_HEADERS="X-Esri-Authorization: Bearer $READER_KEY" trees "https://$layer"; }
# koop copies Koop's layer, which has pages of 1,000, and looks at the record of
# requests for how GDAL went through them.
koop() {
	local to=$RUN/hydrants.geojson
	rm -f "$to"
	GDAL_HTTP_HEADERS="X-Esri-Authorization: Bearer $CALLER_KEY" timeout 90 \
		ogr2ogr -f GeoJSON "$to" "https://localhost:$PROXY_PORT/koop/rest/services/hydrants/FeatureServer/0/query?where=1%3D1&outFields=*&f=json"
	python3 - "$to" <<'PY'
import json, os, sys, time
features = json.load(open(sys.argv[1], encoding="utf-8"))["features"]
links = {f["properties"]["id"]: f["properties"]["link"] for f in features}
want = {i: f"{os.environ['PORTAL_URL']}/home/item.html?id=hydrant{i}" for i in range(1, 2601)}
assert len(features) == 2600 and links == want, (len(features), sorted(links.items())[:3])
deadline = time.monotonic() + 20  # the record is written a moment later
while True:
    with open(os.path.join(os.environ["RUN"], "audit.jsonl"), encoding="utf-8") as f:
        lines = f.read().rpartition("\n")[0].splitlines()
    pages = [r for r in map(json.loads, lines) if r["path"].endswith("/hydrants/FeatureServer/0/query") and "resultOffset" in r["query"]]
    if len(pages) >= 2:
        break
    assert time.monotonic() < deadline, f"{len(pages)} requests with resultOffset"
    time.sleep(0.2)
PY
}

ogrinfo --version
check "ogrinfo over plain HTTP, known by address" plain
check "ogrinfo over HTTPS, known by address" tls
check "ogrinfo with the key in GDAL_HTTP_HEADERS" header
check "ogrinfo with the key in https://user:key@" in_url
check "ogrinfo with the key as token=" as_token
check "ogrinfo with a wrong key gets nothing" wrong_key
check "ogrinfo with a where clause" filtered
check "ogr2ogr copies all pages to GeoJSON" geojson
check "ogrinfo for a caller that may only read" reader
check "ogr2ogr copies all pages of Koop, whose features name the Portal" koop
[ "$failures" -eq 0 ]
