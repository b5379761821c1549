"""What the Portal holds in the end of flows that publish something: each is done
twice, by a client that knows the proxy's addresses only and by one that talks to the
Portal itself, and has to leave the same behind, byte for byte.
"""

import http.cookiejar
import json
import os
import pathlib
import ssl
import tempfile
import types
import unittest.mock
import urllib.parse
import urllib.request

import requests
from arcgis.features import FeatureLayer
from arcgis.gis import GIS, ItemProperties, ItemTypeEnum

PORTAL, SERVER = os.environ["PORTAL_URL"], os.environ["SERVER_URL"]
SITE = "https://localhost:" + os.environ["PROXY_PORT"]
# What differs between two items that were made in the same way.
THEIR_OWN = {"id", "created", "modified"}

_trust = ssl.create_default_context(cafile=os.environ["SANDBOX_CA"])


def direct():
    """A client that knows nothing of the proxy. It keeps no cookies: the Portal's esri_auth
    is counted when it comes back, which through the proxy it may not."""
    none = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
    with unittest.mock.patch.object(requests.sessions, "cookiejar_from_dict", lambda _: requests.cookies.RequestsCookieJar(none)):
        gis = GIS(PORTAL, token=os.environ["ALICE_TOKEN"], verify_cert=True, ca_bundles=os.environ["SANDBOX_CA"])
    return types.SimpleNamespace(gis=gis, portal=PORTAL, server=SERVER)


def through(gis):
    """A client of the proxy, signed in."""
    return types.SimpleNamespace(gis=gis, portal=SITE + "/portal", server=SITE + "/server")


def ask(address):
    """Asks the Portal itself, as alice, and returns the bytes that it answers."""
    request = urllib.request.Request(address, headers={"X-Esri-Authorization": "Bearer " + os.environ["ALICE_TOKEN"]})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_trust))
    with opener.open(request, timeout=30) as answer:
        return answer.read()


def stored(item_id):
    """What the Portal holds of an item: its description, and its data."""
    address = f"{PORTAL}/sharing/rest/content/items/{item_id}"
    said = json.loads(ask(address + "?f=json"))
    assert said.get("id") == item_id, said
    return {k: v for k, v in said.items() if k not in THEIR_OWN}, ask(address + "/data")


def differences(got, want, where=""):
    """Where two values differ, by path, with what they are there."""
    if type(got) is type(want) and isinstance(got, (list, tuple)) and len(got) == len(want):
        return [d for i, (g, w) in enumerate(zip(got, want)) for d in differences(g, w, f"{where}/{i}")]
    if isinstance(got, dict) and isinstance(want, dict) and got.keys() == want.keys():
        return [d for key in got for d in differences(got[key], want[key], f"{where}/{key}")]
    if got == want:
        return []
    if isinstance(got, (str, bytes)) and isinstance(want, (str, bytes)):
        at = next((i for i, (g, w) in enumerate(zip(got, want)) if g != w), 0)
        got, want = got[max(at - 60, 0):at + 60], want[max(at - 60, 0):at + 60]
    return [f"{where}: …{got!r}…, not …{want!r}…"]


def written(at):
    """Texts that name the Portal and its server as people and programs write that down."""
    item = at.portal + "/home/item.html?id=7ee5000000000000000000000000a001"
    return {
        "plain": item,
        "escaped": item.replace("/", "\\/"),
        "unicode": item.replace("/", "\\u002f"),
        "percent": urllib.parse.quote(item, safe=""),
        "percent twice": urllib.parse.quote(urllib.parse.quote(item, safe=""), safe=""),
        "html": f'<a href="{item}&amp;a=b">Straße</a> <img src=\'{at.portal}/t.png\'>',
        "no scheme": at.portal.removeprefix("https://"),
        "relative": at.server.removeprefix("https:") + "/rest/services",
        "sentence": f"See {at.portal}, or {at.server}/rest/services/Trees/FeatureServer/0.",
        "not ours": "https://localhost/portal https://localhost.example.com/portal",
    }


def web_map(at):
    return {
        "operationalLayers": [{"id": "trees", "url": at.server + "/rest/services/Trees/FeatureServer/0", "title": "Überblick"}],
        "baseMap": {"baseMapLayers": [], "title": "None"}, "notes": written(at), "version": "2.29",
    }


def items(at):
    """Items whose properties and data name the Portal: added and updated. Returns their ids."""
    folder, texts = at.gis.content.folders.get(), written(at)
    service = folder.add(ItemProperties(title="A service", item_type=ItemTypeEnum.FEATURE_SERVICE, tags=["mirror"],
                                        description=texts["html"], snippet=texts["sentence"]),
                         url=at.server + "/rest/services/Trees/FeatureServer").result()
    a_map = folder.add(ItemProperties(title="A map", item_type=ItemTypeEnum.WEB_MAP, tags=["mirror"], description=json.dumps(texts)),
                       text=json.dumps(web_map(at))).result()
    ids = [service.id, a_map.id]
    before = [stored(i) for i in ids]
    assert service.update({"url": at.server + "/rest/services/Public/FeatureServer", "description": texts["escaped"] + " " + texts["percent"]})
    changed = web_map(at) | {"version": "2.30"}
    assert a_map.update({"text": json.dumps(changed, ensure_ascii=False), "snippet": texts["plain"]})
    return [service, a_map], before + [stored(i) for i in ids]


def files(at, small, large):
    """Files, the second one in parts; one is replaced later."""
    folder = at.gis.content.folders.get()
    one = folder.add(ItemProperties(title="A file", item_type=ItemTypeEnum.CSV, tags=["mirror"], description=written(at)["html"]), file=str(small)).result()
    many = folder.add(ItemProperties(title="A large file", item_type=ItemTypeEnum.SHAPEFILE, tags=["mirror"], snippet=written(at)["plain"]), file=str(large)).result()
    before = [stored(one.id), stored(many.id)]
    assert one.update({"description": written(at)["sentence"]}, data=str(large.with_name("again.csv")))
    return [one, many], before + [stored(one.id)]


def publish(at, file):
    """A GeoJSON file becomes a service, which is waited for; and an empty one is made."""
    source = at.gis.content.folders.get().add(ItemProperties(title="To be published", item_type=ItemTypeEnum.GEOJSON, tags=["mirror"]), file=str(file)).result()
    service = source.publish({"name": "published", "description": written(at)["sentence"], "layerInfo": {"capabilities": "Query"}})
    empty = at.gis.content.create_service("empty", service_description=written(at)["plain"], service_type="featureService")
    return [source, service, empty], [stored(i.id) for i in (source, service, empty)]


def edits(at):
    """A feature that names the Portal, added and updated; returns it as the server itself has it."""
    layer = FeatureLayer(at.server + "/rest/services/Trees/FeatureServer/0", at.gis)
    notes = "; ".join(written(at)[name] for name in ("plain", "escaped"))[:200]
    new = {"attributes": {"Species": "Ginkgo biloba", "Notes": notes}, "geometry": {"x": -122.6, "y": 45.5, "spatialReference": {"wkid": 4326}}}
    oid = layer.edit_features(adds=[new])["addResults"][0]["objectId"]
    try:
        layer.edit_features(updates=[{"attributes": {"OBJECTID": oid, "Address": written(at)["no scheme"]}}])
        query = f"{SERVER}/rest/services/Trees/FeatureServer/0/query?f=json&outFields=Notes,Address,Species&objectIds={oid}"
        return json.loads(ask(query))["features"][0]["attributes"]
    finally:
        assert layer.edit_features(deletes=str(oid))["deleteResults"][0]["success"]


def samples():
    """Files that name the proxy and the Portal, which are to be stored as they are:
    a small one, a large one, the one that replaces the small one, and GeoJSON."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["RUN"]))
    names = f"{SITE}/portal,{PORTAL},{SITE.replace('/', chr(92) + '/')}\\/server\r\n".encode()
    contents = {
        "small.csv": b"a,b,c\r\n" + names * 3,
        "large.zip": (os.urandom(4096) + names) * 3000,
        "again.csv": b"d,e,f\r\n" + names,
        "points.geojson": json.dumps({"type": "FeatureCollection", "features": [
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-122.6, 45.5]}, "properties": {"at": SITE + "/portal", "is": PORTAL}}]}).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder, contents
