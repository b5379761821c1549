"""The ArcGIS API for Python through the proxy, with certificates verified.

Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
"""

import hashlib
import json
import os
import pathlib
import sys
import tempfile
import traceback

from arcgis.features import FeatureLayer
from arcgis.geoprocessing import import_toolbox
from arcgis.gis import GIS, ItemProperties, ItemTypeEnum

import stored

SITE = "https://localhost:" + os.environ["PROXY_PORT"]
PORTAL = SITE + "/portal"
TREES = SITE + "/server/rest/services/Trees/FeatureServer/0"
ROOT = os.environ["PROXY_ROOT"]
KEY = os.environ["CALLER_KEY"]
ALICE, CAROL = os.environ["ALICE_USERNAME"], os.environ["CAROL_USERNAME"]

checks = []


def check(name):
    """Names a function as a check."""

    def register(function):
        checks.append((name, function))
        return function

    return register


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def random_file(name, size):
    path = pathlib.Path(tempfile.mkdtemp(dir=os.environ["RUN"])) / name
    path.write_bytes(os.urandom(size))
    return path


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


_signed_in = None


def gis():
    """The GIS of the caller with the key, made once."""
    global _signed_in
    if _signed_in is None:
        _signed_in = GIS(PORTAL, token=KEY, verify_cert=True, ca_bundles=ROOT)
    return _signed_in


@check("the certificate is verified")
def _():
    try:
        GIS(PORTAL, token=KEY, verify_cert=True, ca_bundles=os.environ["SANDBOX_CA"])
    except Exception as e:
        if "CERTIFICATE_VERIFY_FAILED" not in str(e):
            raise
        return
    raise AssertionError("a certificate of an unknown authority was accepted")


@check("GIS(url, token=key): users.me")
def _():
    me = gis().users.me
    equal(me.username, ALICE)
    equal(me.fullName, os.environ["ALICE_FULLNAME"])


@check("the organization's properties")
def _():
    equal(gis().properties.user.username, ALICE)
    equal(gis().properties.isPortal, True)


@check("a content search")
def _():
    found = gis().content.search("tags:trees")
    equal(sorted(item.title for item in found), ["Map of street trees", "Street trees"])


@check("users.search, users.get")
def _():
    equal(gis().users.get(CAROL).username, CAROL)


@check("a layer of 3,200 features, page by page")
def _():
    features = FeatureLayer(TREES, gis()).query(where="1=1", out_fields="*").features
    equal(len(features), 3200)
    equal({f.attributes["OBJECTID"] for f in features}, set(range(1, 3201)))


@check("a query with where, order and paging")
def _():
    layer = FeatureLayer(TREES, gis())
    count = layer.query(where="CommonName = 'Ginkgo'", return_count_only=True)
    assert 0 < count < 3200, count
    first = layer.query(where="CommonName = 'Ginkgo'", order_by_fields="HeightM DESC", result_record_count=5, return_all_records=False).features
    heights = [f.attributes["HeightM"] for f in first]
    equal(len(heights), 5)
    equal(heights, sorted(heights, reverse=True))


@check("a query as a spatial data frame")
def _():
    frame = FeatureLayer(TREES, gis()).query(where="OBJECTID <= 1200", as_df=True)
    equal(len(frame), 1200)
    equal(frame.spatial.geometry_type, ["point"])


@check("an edit: add, update, delete")
def _():
    layer = FeatureLayer(TREES, gis())
    new = {"attributes": {"Species": "Ginkgo biloba", "Notes": "added, 50% ünïcode & <more>"}, "geometry": {"x": -122.6, "y": 45.5, "spatialReference": {"wkid": 4326}}}
    added = layer.edit_features(adds=[new])["addResults"][0]
    assert added["success"], added
    oid = added["objectId"]
    try:
        changed = layer.edit_features(updates=[{"attributes": {"OBJECTID": oid, "Condition": "Fair"}}])["updateResults"][0]
        assert changed["success"], changed
        row = layer.query(where=f"OBJECTID = {oid}", out_fields="*").features[0].attributes
        equal((row["Notes"], row["Condition"]), (new["attributes"]["Notes"], "Fair"))
    finally:
        deleted = layer.edit_features(deletes=str(oid))["deleteResults"][0]
    assert deleted["success"], deleted


@check("an attachment: upload, list, download, delete")
def _():
    layer = FeatureLayer(TREES, gis())
    path = random_file("leaf.bin", 3_000_000)
    added = layer.attachments.add(42, str(path))["addAttachmentResult"]
    assert added["success"], added
    listed = layer.attachments.get_list(42)
    equal([(a["name"], a["size"]) for a in listed], [("leaf.bin", 3_000_000)])
    got = layer.attachments.download(oid=42, attachment_id=listed[0]["id"], save_path=tempfile.mkdtemp(dir=os.environ["RUN"]))
    equal(digest(got[0]), digest(path))
    layer.attachments.delete(42, listed[0]["id"])
    equal(layer.attachments.get_list(42), [])


@check("an item: upload in parts, update, download, delete")
def _():
    path = random_file("trees.zip", 12_000_000)
    properties = ItemProperties(title="Trees by the key", item_type=ItemTypeEnum.SHAPEFILE, tags=["upload"])
    item = gis().content.folders.get().add(properties, file=str(path)).result()
    equal(item.owner, ALICE)
    equal(item.size, 12_000_000)
    assert item.update({"snippet": "changed"})
    equal(gis().content.get(item.id).snippet, "changed")
    equal(digest(item.download(tempfile.mkdtemp(dir=os.environ["RUN"]))), digest(path))
    assert item.delete()
    equal(gis().content.search(f"id:{item.id}"), [])


_direct = None


def same(flow, *arguments):
    """Does the same through the proxy and past it. What the Portal holds then has to
    be the same; returns the proxy's side of it."""
    global _direct
    _direct = _direct or stored.direct()
    by_proxy, by_itself = flow(stored.through(gis()), *arguments), flow(_direct, *arguments)
    got, want = by_proxy, by_itself
    if isinstance(got, tuple):
        got, want = got[1], want[1]
        for item in by_proxy[0] + by_itself[0]:
            item.delete()
    equal(stored.differences(got, want), [])
    return got


@check("items that name the Portal are stored as a direct client stores them")
def _():
    same(stored.items)


@check("an item's url is the proxy's for who reads it through the proxy, its data are as they were")
def _():
    (service, a_map), _ = stored.items(stored.through(gis()))
    equal(gis().content.get(service.id).url, SITE + "/server/rest/services/Public/FeatureServer")
    equal(len(gis().content.get(service.id).layers[0].query(where="OBJECTID <= 3").features), 3)
    equal(gis().content.get(a_map.id).get_data(try_json=True)["operationalLayers"][0]["url"], os.environ["SERVER_URL"] + "/rest/services/Trees/FeatureServer/0")
    for item in service, a_map:
        item.delete()


@check("files that name the Portal and the proxy are stored as they are, also in parts")
def _():
    folder, contents = stored.samples()
    held = same(stored.files, folder / "small.csv", folder / "large.zip")
    equal([hashlib.sha256(data).hexdigest() for _, data in held], [hashlib.sha256(contents[name]).hexdigest() for name in ("small.csv", "large.zip", "again.csv")])


@check("a file is published: the job is polled, the service stands for itself")
def _():
    folder, contents = stored.samples()
    held = same(stored.publish, folder / "points.geojson")
    equal(held[0][1], contents["points.geojson"])


@check("a published service is read at the proxy")
def _():
    folder, _ = stored.samples()
    made, _ = stored.publish(stored.through(gis()), folder / "points.geojson")
    assert made[1].url.startswith(SITE + "/server/"), made[1].url
    equal(made[1].layers[0].query(return_count_only=True), 3200)
    for item in made:
        item.delete()


@check("a geoprocessing job: submitted, polled, its result fetched")
def _():
    tools = SITE + "/server/rest/services/Tools/GPServer/CountTrees"
    session = gis().session
    job = session.post(tools + "/submitJob", data={"f": "json"}).json()
    assert job["statusUrl"].startswith(tools + "/jobs/"), job
    for _ in range(10):
        status = session.get(job["statusUrl"], params={"f": "json"}).json()
        if status["jobStatus"] != "esriJobExecuting":
            break
    equal(status["jobStatus"], "esriJobSucceeded")
    result = session.get(status["results"]["total"]["resultUrl"], params={"f": "json"}).json()
    assert result["value"]["url"].startswith(SITE + "/server/"), result
    assert session.get(result["value"]["url"]).content.startswith(b"\x89PNG")


@check("a toolbox is imported")
def _():
    toolbox = import_toolbox(SITE + "/server/rest/services/Tools/GPServer", gis())
    assert hasattr(toolbox, "count_trees"), dir(toolbox)


@check("a feature that names the Portal is stored as a direct client stores it, and comes back unchanged")
def _():
    attributes = same(stored.edits)
    assert os.environ["PORTAL_URL"] in attributes["Notes"], attributes
    query = "where=OBJECTID%20IN%20(400,800,1200,1600)&outFields=*&f="
    for kind in "json", "geojson", "pbf":
        want = stored.ask(f"{os.environ['SERVER_URL']}/rest/services/Trees/FeatureServer/0/query?{query}{kind}")
        got = gis().session.get(f"{TREES}/query?{query}{kind}").content
        if kind != "pbf":  # servers write a slash as they like, with a backslash or without
            got, want = json.loads(got), json.loads(want)
        assert os.environ["PORTAL_URL"] in str(want), want
        equal(got, want)
    features = FeatureLayer(TREES, gis()).query(where="OBJECTID = 400", out_fields="*").features
    assert os.environ["PORTAL_URL"] in features[0].attributes["Notes"], features


@check("Koop: a layer of 2,600 features that name the Portal")
def _():
    features = FeatureLayer(SITE + "/koop/rest/services/hydrants/FeatureServer/0", gis()).query(where="1=1", out_fields="*").features
    equal({f.attributes["id"]: f.attributes["link"] for f in features},
          {i: f"{os.environ['PORTAL_URL']}/home/item.html?id=hydrant{i}" for i in range(1, 2601)})


@check("a caller that may only read signs in, searches and queries")
def _():
    reader = GIS(PORTAL, "reader", os.environ["READER_KEY"], verify_cert=True, ca_bundles=ROOT)
    equal(reader.users.me.username, ALICE)
    assert any(i.title == "Street trees" for i in reader.content.search("trees"))
    equal(len(FeatureLayer(TREES, reader).query(where="OBJECTID <= 1500").features), 1500)
    equal(len(FeatureLayer(SITE + "/koop/rest/services/hydrants/FeatureServer/0", reader).query(where="id <= 3").features), 3)


@check("and is refused with a reason when it edits, adds or deletes")
def _():
    refused(GIS(PORTAL, token=os.environ["READER_KEY"], verify_cert=True, ca_bundles=ROOT))


@check("also if it signed in by name, where the client would repeat it as whoever it is by address")
def _():
    refused(GIS(PORTAL, "reader", os.environ["READER_KEY"], verify_cert=True, ca_bundles=ROOT))


def refused(reader):
    """Expects that a caller that may only read is told so, and that nothing was changed."""
    layer = FeatureLayer(TREES, reader)
    for name, attempt in {
        "edit": lambda: layer.edit_features(adds=[{"attributes": {"Species": "Ginkgo biloba"}}]),
        "delete": lambda: layer.delete_features(where="1=1"),
        "add": lambda: reader.content.folders.get().add(ItemProperties(title="Forbidden", item_type=ItemTypeEnum.WEB_MAP, tags=["no"]), text="{}").result(),
    }.items():
        try:
            said = str(attempt())  # of some refusals the client makes no exception
        except Exception as e:
            said = str(e)
        assert "may only read" in said or "403" in said, f"{name}: {said}"
    equal(FeatureLayer(TREES, gis()).query(return_count_only=True), 3200)


@check("GIS(url, caller, key): a sign-in, and a token of the proxy's own")
def _():
    signed_in = GIS(PORTAL, "nightly", KEY, verify_cert=True, ca_bundles=ROOT)
    assert signed_in._con.token.startswith("arcproxy_a_"), "the token is another's"
    equal(signed_in.users.me.username, ALICE)
    assert any(i.title == "Street trees" for i in signed_in.content.search("trees", item_type="Feature Service"))
    equal(FeatureLayer(TREES, signed_in).query(return_count_only=True), 3200)


@check("GIS(url, caller, key, use_gen_token=True): the token comes from generateToken")
def _():
    signed_in = GIS(PORTAL, "nightly", KEY, use_gen_token=True, verify_cert=True, ca_bundles=ROOT)
    assert signed_in._con.token.startswith("arcproxy_a_"), "the token is another's"
    equal(signed_in.users.me.username, ALICE)


@check("so does either where nobody is known by an address, and a token alone")
def _():
    port, name, key, root = (os.environ["KEYS_" + k] for k in ("PORT", "CAROL_USERNAME", "KEY", "ROOT"))
    site = f"https://localhost:{port}"
    for how in {"username": "courier", "password": key}, {"username": "courier", "password": key, "use_gen_token": True}, {"token": key}:
        signed_in = GIS(site + "/portal", **how, verify_cert=True, ca_bundles=root)
        equal(signed_in.users.me.username, name)
        layer = FeatureLayer(site + "/server/rest/services/Trees/FeatureServer/0", signed_in)
        equal(layer.query(return_count_only=True), 3200)
    for password in "WRONG" + key, "":
        try:
            GIS(site + "/portal", "courier", password, verify_cert=True, ca_bundles=root)
        except Exception as e:
            assert "Invalid username or password" in str(e) or not password, e
        else:
            raise AssertionError("a wrong key was accepted")


@check("GIS(url, token=one that has ended) is not whoever it is by address")
def _():
    token = GIS(PORTAL, "nightly", KEY, verify_cert=True, ca_bundles=ROOT)._con.token
    signed_in = GIS(PORTAL, token=token, verify_cert=True, ca_bundles=ROOT)
    assert gis().session.post(PORTAL + "/sharing/rest/oauth2/revokeToken", data={"f": "json", "client_id": "x", "auth_token": token}).json()["success"]
    layer = FeatureLayer(TREES, signed_in)
    try:
        result = layer.edit_features(updates=[{"attributes": {"OBJECTID": 1, "Condition": "Dead"}}])
    except Exception as e:
        assert "sign in again" in str(e), e
    else:
        raise AssertionError(f"it was not refused: {result}")


@check("GIS(url, caller, wrong key) and an Okta password are refused")
def _():
    for name, password in ("nightly", "WRONG" + KEY), ("somebody", KEY), (os.environ["ALICE_LOGIN"], os.environ["ALICE_PASSWORD"]):
        try:
            GIS(PORTAL, name, password, verify_cert=True, ca_bundles=ROOT)
        except Exception as e:
            assert "Invalid username or password" in str(e), e
        else:
            raise AssertionError(f"{name} is signed in")


@check("GIS(url) by address: users.me")
def _():
    me = GIS(PORTAL, verify_cert=True, ca_bundles=ROOT).users.me
    equal(me.username, CAROL)


@check("SSL_CERT_FILE works like ca_bundles")
def _():
    os.environ["SSL_CERT_FILE"] = ROOT
    equal(GIS(PORTAL, token=KEY, verify_cert=True).users.me.username, ALICE)


@check("GIS(url, token=wrong key) is refused")
def _():
    try:
        other = GIS(PORTAL, token="WRONG" + KEY, verify_cert=True, ca_bundles=ROOT)
    except Exception:
        return
    equal(other.users.me, None)


failed = 0
for name, function in checks:
    try:
        function()
        print("ok:", name, flush=True)
    except Exception as e:
        failed += 1
        print(f"FAILED: {name}: {type(e).__name__}: {str(e)[:500]}", flush=True)
        traceback.print_exc(limit=-6, file=sys.stdout)
sys.exit(1 if failed else 0)
