"""The ArcGIS API for Python through the proxy, with certificates verified.

Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
"""

import hashlib
import os
import pathlib
import sys
import tempfile
import traceback

from arcgis.features import FeatureLayer
from arcgis.gis import GIS, ItemProperties, ItemTypeEnum

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
