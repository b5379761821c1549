"""QGIS through the proxy: its provider for ArcGIS feature services, with the
caller's key in an authentication configuration, and certificates verified.

Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
Run it with the Python that Debian's python3-qgis is for.
"""

import base64
import json
import os
import subprocess
import sys
import traceback

from qgis.core import Qgis, QgsApplication, QgsAuthMethodConfig, QgsFeatureRequest, QgsNetworkAccessManager, QgsNetworkReplyContent, QgsRectangle, QgsVectorLayer
from qgis.PyQt.QtNetwork import QNetworkRequest, QSslCertificate

HOST = "localhost:" + os.environ["PROXY_PORT"]
TREES = "/server/rest/services/Trees/FeatureServer/0"
HYDRANTS = "/koop/rest/services/hydrants/FeatureServer/0"
KEY = os.environ["CALLER_KEY"]
LINKS = {i: f"{os.environ['PORTAL_URL']}/home/item.html?id=hydrant{i}" for i in range(1, 2601)}  # of the hydrants

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


def config(method, **values):
    """Stores an authentication configuration as a person does in the options, and returns its id."""
    made = QgsAuthMethodConfig(method)
    made.setName(method + " of the caller")
    made.setConfigMap(values)
    stored = QgsApplication.authManager().storeAuthenticationConfig(made)
    assert made.isValid() and (stored[0] if isinstance(stored, tuple) else stored), f"{method} was not stored"
    return made.id()


def uri_of(layer, authcfg="", scheme="https"):
    """Where a layer is, as QGIS writes that down."""
    return f"crs='EPSG:4326' url='{scheme}://{HOST}{layer}'" + (f" authcfg='{authcfg}'" if authcfg else "")


def open_layer(authcfg="", scheme="https", layer=TREES):
    """Opens a layer. What QGIS has in its cache, by URL alone, it forgets."""
    QgsNetworkAccessManager.instance().cache().clear()
    return QgsVectorLayer(uri_of(layer, authcfg, scheme), layer, "arcgisfeatureserver")


def read_all(layer):
    """Reads every feature, which takes more requests than one, and looks at them."""
    assert layer.isValid(), "the layer is not valid"
    equal(layer.featureCount(), 3200)
    ids, notes = set(), set()
    for feature in layer.getFeatures():
        ids.add(feature["OBJECTID"])
        notes.add(feature["Notes"])
        at = feature.geometry().asPoint()
        assert -123 < at.x() < -122 and 45 < at.y() < 46, at
    equal(ids, set(range(1, 3201)))
    assert "Überhang zur Straße, 50% <pruned> & checked" in notes, list(notes)[:5]


def credentials(header, value, layer):
    """Reads a layer, and expects that each page was asked for with this header, None for none."""
    seen = []

    def look(reply):
        if reply.request().url().path() == TREES + "/query" and reply.attribute(QNetworkRequest.HttpStatusCodeAttribute) == 200:
            seen.append({h: bytes(reply.request().rawHeader(h.encode())).decode() for h in ("Authorization", "X-Esri-Authorization") if reply.request().hasRawHeader(h.encode())})

    manager = QgsNetworkAccessManager.instance()
    manager.finished[QgsNetworkReplyContent].connect(look)
    try:
        read_all(layer())
        QgsApplication.processEvents()
    finally:
        manager.finished[QgsNetworkReplyContent].disconnect(look)
    assert len(seen) > 3, f"{len(seen)} pages"
    for sent in seen:
        equal(sent, {header: value} if header else {})


@check("a layer with the key as Basic password")
def _():
    authcfg = config("Basic", username="anyone", password=KEY, realm="")
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    credentials("Authorization", f"Basic {basic}", lambda: open_layer(authcfg))


@check("a layer with the key as Esri token")
def _():
    authcfg = config("EsriToken", token=KEY)
    # QGIS 3.22 sends a space behind it.
    credentials("X-Esri-Authorization", f"Bearer {KEY} ", lambda: open_layer(authcfg))


@check("a layer known by address, over HTTPS and plain HTTP")
def _():
    credentials(None, None, open_layer)
    credentials(None, None, lambda: open_layer(scheme="http"))


@check("a filter by rectangle")
def _():
    layer = open_layer(config("EsriToken", token=KEY))
    window = QgsRectangle(-122.7, 45.5, -122.6, 45.55)
    inside = [f for f in layer.getFeatures(QgsFeatureRequest(window))]
    assert 0 < len(inside) < 3200, len(inside)
    assert all(window.contains(f.geometry().asPoint()) for f in inside)


@check("a layer of Koop's, whose features name the Portal")
def _():
    layer = open_layer(config("EsriToken", token=KEY), layer=HYDRANTS)
    assert layer.isValid(), "the layer is not valid"
    equal(layer.featureCount(), 2600)
    equal({f["id"]: f["link"] for f in layer.getFeatures()}, LINKS)


@check("a caller that may only read")
def _():
    reader = os.environ["READER_KEY"]
    read_all(open_layer(config("EsriToken", token=reader)))
    read_all(open_layer(config("Basic", username="anyone", password=reader, realm="")))


def processed(algorithm, output, **inputs):
    """Has qgis_process, another program, run an algorithm; returns its output, a GeoJSON
    file, as features. (What Debian calls qgis_process hands it an option that it does not know.)"""
    ended = subprocess.run(["qgis_process.bin", "run", algorithm, "--", *(f"{k}={v}" for k, v in inputs.items()), f"OUTPUT={output}"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False)
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")[-800:]
    with open(output, encoding="utf-8") as f:
        return json.load(f)["features"]


@check("qgis_process extracts trees, with the key in an authentication configuration")
def _():
    authcfg = config("EsriToken", token=KEY)
    features = processed("native:extractbyexpression", os.path.join(os.environ["RUN"], "maples.geojson"),
                         INPUT="arcgisfeatureserver://" + uri_of(TREES, authcfg), EXPRESSION="\"Species\" LIKE 'Acer%'")
    assert 0 < len(features) < 3200, len(features)
    assert all(f["properties"]["Species"].startswith("Acer") for f in features)


@check("qgis_process reads Koop's layer by address")
def _():
    features = processed("native:savefeatures", os.path.join(os.environ["RUN"], "hydrants-qgis.geojson"), INPUT="arcgisfeatureserver://" + uri_of(HYDRANTS))
    equal({f["properties"]["id"]: f["properties"]["link"] for f in features}, LINKS)


@check("a wrong key gets no layer")
def _():
    for wrong in config("Basic", username="anyone", password="WRONG" + KEY, realm=""), config("EsriToken", token="WRONG" + KEY):
        layer = open_layer(wrong)
        assert not layer.isValid(), "it is valid"


os.makedirs(os.environ["QGIS_AUTH_DB_DIR_PATH"], exist_ok=True)
# qgis_process reads the same store, whose password it finds in a file.
PASSWORD = "of this run"
with open(os.path.join(os.environ["QGIS_AUTH_DB_DIR_PATH"], "password"), "w", encoding="utf-8") as f:
    f.write(PASSWORD)
os.environ["QGIS_AUTH_PASSWORD_FILE"] = f.name
app = QgsApplication([], False)
app.initQgis()
auth = QgsApplication.authManager()
print("QGIS", Qgis.QGIS_VERSION)
failed = 0
try:
    assert auth.setMasterPassword(PASSWORD, True), "no store for authentication configurations"
    for method in "Basic", "EsriToken":
        assert method in auth.authMethodsKeys(), f"no authentication method {method}"
    root = QSslCertificate.fromPath(os.environ["PROXY_ROOT"])
    assert root and auth.storeCertAuthority(root[0]), "the proxy's root was not stored"
    auth.rebuildCaCertsCache()
    auth.rebuildTrustedCaCertsCache()
    for name, function in checks:
        try:
            function()
            print("ok:", name, flush=True)
        except Exception as e:
            failed += 1
            print(f"FAILED: {name}: {type(e).__name__}: {str(e)[:500]}", flush=True)
            traceback.print_exc(limit=-6, file=sys.stdout)
finally:
    app.exitQgis()
sys.exit(1 if failed else 0)
