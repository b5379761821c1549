// Esri's ArcGIS REST JS through the proxy, with certificates verified
// (NODE_EXTRA_CA_CERTS).
//
//   node check.mjs
//
// Prints a line for each check that holds or fails; exits 1 if one failed.
import assert from 'node:assert/strict';
import { ApiKeyManager, ArcGISIdentityManager, request } from '@esri/arcgis-rest-request';
import { addFeatures, deleteFeatures, getFeature, queryFeatures } from '@esri/arcgis-rest-feature-service';
import { createItem, getItem, getSelf, removeItem, searchItems } from '@esri/arcgis-rest-portal';

const { PROXY_PORT, CALLER_KEY: key, ALICE_USERNAME: alice, CAROL_USERNAME: carol } = process.env;
const site = `https://localhost:${PROXY_PORT}`;
const portal = `${site}/portal/sharing/rest`;
const server = `${site}/server`;
const trees = `${server}/rest/services/Trees/FeatureServer/0`;

// Every request that leaves goes to the proxy; each check may look at its own.
let sent = [];
const leave = globalThis.fetch;
globalThis.fetch = (url, options = {}) => {
  sent.push({ method: options.method ?? 'GET', url: new URL(url), body: options.body });
  assert.equal(new URL(url).origin, site, 'a request that goes past the proxy');
  return leave(url, options);
};

// allFeatures reads a layer page by page.
async function allFeatures(options) {
  const ids = [];
  for (;;) {
    const page = await queryFeatures({ url: trees, outFields: ['OBJECTID'], returnGeometry: false,
      orderByFields: 'OBJECTID', resultOffset: ids.length, ...options });
    ids.push(...page.features.map((f) => f.attributes.OBJECTID));
    if (!page.exceededTransferLimit) return ids;
  }
}
const who = async (authentication) => (await getSelf({ portal, authentication })).user.username;
const refused = (call) => assert.rejects(call, (e) => {
  assert.match(e.message, /caller key/);
  return true;
});

const checks = {
  'by address: who is signed in': async () => assert.equal(await who(), carol),
  'by address: a search': async () => {
    const found = await searchItems({ q: 'trees', portal });
    assert(found.results.some((item) => item.title === 'Street trees'), JSON.stringify(found));
  },
  'by address: all features, page by page': async () => {
    const ids = await allFeatures();
    assert.deepEqual(ids, Array.from({ length: 3200 }, (_, i) => i + 1));
    assert(sent.length > 3, `${sent.length} requests`);
  },
  'by address: the same features as JSON, GeoJSON and pbf': async () => {
    const query = (f) => queryFeatures({ url: trees, where: "Species LIKE 'Acer%' AND OBJECTID < 200", f });
    const [json, geojson, pbf] = [await query('json'), await query('geojson'), await query('pbf-as-geojson')];
    const notes = json.features.map((f) => [f.attributes.OBJECTID, f.attributes.Notes]);
    assert(notes.length > 0);
    assert.deepEqual(geojson.features.map((f) => [f.properties.OBJECTID, f.properties.Notes]), notes);
    assert.deepEqual(pbf.features.map((f) => [f.properties.OBJECTID, f.properties.Notes]), notes);
  },
  'the key as API key: Portal and server': async () => {
    const authentication = ApiKeyManager.fromKey({ key, portal });
    assert.equal(await who(authentication), alice);
    assert.equal((await allFeatures({ authentication })).length, 3200);
    assert.equal((await getFeature({ url: trees, id: 42, authentication })).attributes.OBJECTID, 42);
    assert(sent.every(({ url }) => url.searchParams.get('token') === key), 'a request without the key');
  },
  'the key as API key: a feature is added and deleted': async () => {
    const authentication = ApiKeyManager.fromKey({ key, portal });
    const attributes = { Species: 'Ginkgo biloba', Notes: 'added, 50% ünïcode & <more>' };
    const { addResults } = await addFeatures({ url: trees, authentication,
      features: [{ attributes, geometry: { x: -122.6, y: 45.5, spatialReference: { wkid: 4326 } } }] });
    assert(addResults[0].success, JSON.stringify(addResults));
    const { objectId: id } = addResults[0];
    try {
      assert.equal((await getFeature({ url: trees, id, authentication })).attributes.Notes, attributes.Notes);
    } finally {
      const { deleteResults } = await deleteFeatures({ url: trees, objectIds: [id], authentication });
      assert(deleteResults[0].success, JSON.stringify(deleteResults));
    }
  },
  'fromToken with the key: the user, and an item of theirs': async () => {
    const authentication = await ArcGISIdentityManager.fromToken({ token: key, portal });
    assert.equal(await authentication.getUsername(), alice);
    const made = await createItem({ authentication, item: { title: 'Made by REST JS', type: 'Web Map', tags: ['made'], text: { operationalLayers: [] } } });
    assert(made.success, JSON.stringify(made));
    try {
      assert.equal((await getItem(made.id, { authentication })).owner, alice);
    } finally {
      assert((await removeItem({ id: made.id, owner: alice, authentication })).success);
    }
  },
  'fromToken with the key for a server': async () => {
    const authentication = new ArcGISIdentityManager({ token: key, tokenExpires: new Date(Date.now() + 3600e3), portal, server });
    assert.equal((await allFeatures({ authentication })).length, 3200);
    assert(sent.every(({ url }) => url.searchParams.get('token') === key), 'a query without the key');
  },
  'a signed-in query: the client exchanges its token for the federated server by itself': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const { count } = await queryFeatures({ url: trees, where: '1=1', returnCountOnly: true, authentication });
    assert.equal(count, 3200);
    const servers = Object.values(authentication.federatedServers);
    assert.equal(servers.length, 1);
    assert.match(servers[0].token, /^arcproxy_a_/);
  },
  'signIn with the caller and its key': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    assert.match(authentication.token, /^arcproxy_a_/);
    assert(authentication.tokenExpires > new Date(Date.now() + 600e3), String(authentication.tokenExpires));
    assert.equal((await authentication.getUser()).username, alice);
    assert.equal(await who(authentication), alice);
    const again = await authentication.refreshCredentials();
    assert.match(again.token, /^arcproxy_a_/);
    assert.equal(await who(again), alice);
    assert(sent.slice(1).every(({ url }) => url.searchParams.get('token') !== key), 'the key is sent once signed in');
  },
  'fromToken with a token of the proxy\'s': async () => {
    const { token } = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const authentication = await ArcGISIdentityManager.fromToken({ token, portal });
    assert.equal(await authentication.getUsername(), alice);
    const found = await searchItems({ q: 'trees', authentication });
    assert(found.results.some((item) => item.title === 'Street trees'), JSON.stringify(found));
  },
  'a token for a server, which is good there': async () => {
    const { token, tokenExpires } = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const manager = new ArcGISIdentityManager({ token, tokenExpires, portal });
    const exchanged = await manager.generateTokenForServer(`${portal}/generateToken`, server);
    assert.match(exchanged.token, /^arcproxy_a_/);
    assert.notEqual(exchanged.token, token);
    const authentication = new ArcGISIdentityManager({ token: exchanged.token, tokenExpires: exchanged.expires, portal, server });
    sent = [];
    assert.equal((await allFeatures({ authentication })).length, 3200);
    assert(sent.every(({ url }) => url.searchParams.get('token') === exchanged.token), 'a query without the token');
  },
  'destroy ends a token': async () => {
    const { token } = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const authentication = await ArcGISIdentityManager.fromToken({ token, portal });
    assert.equal(await who(authentication), alice);
    assert((await ArcGISIdentityManager.destroy(authentication)).success);
    await assert.rejects(who(ApiKeyManager.fromKey({ key: token, portal })), /498/);
  },
  'a wrong key, a wrong name and an Okta password get no token': async () => {
    for (const [username, password] of [['nightly', `WRONG${key}`], ['somebody', key], [process.env.ALICE_LOGIN, process.env.ALICE_PASSWORD]]) {
      // Not by signIn, which goes on without a token if it gets none.
      const manager = new ArcGISIdentityManager({ username, password, portal });
      await assert.rejects(manager.refreshCredentials(), /Unable to generate token/);
    }
  },
  'a wrong key is refused': async () => {
    await refused(ArcGISIdentityManager.fromToken({ token: `WRONG${key}`, portal }));
    await refused(request(trees, { authentication: ApiKeyManager.fromKey({ key: `WRONG${key}`, portal }) }));
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  sent = [];
  try {
    await check();
    console.log(`ok: ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAILED: ${name}: ${e.name}: ${e.message.split('\n').slice(0, 6).join(' ')}`);
    for (const { method, url } of sent.slice(-6)) console.log(`    ${method} ${url.pathname}`);
  }
}
process.exit(failed ? 1 : 0);
