// Esri's ArcGIS REST JS through the proxy, with certificates verified
// (NODE_EXTRA_CA_CERTS, which also names the authority of the Portal itself: it is
// asked what it holds in the end).
//
//   node check.mjs
//
// Prints a line for each check that holds or fails; exits 1 if one failed.
import assert from 'node:assert/strict';
import { ApiKeyManager, ArcGISIdentityManager, request } from '@esri/arcgis-rest-request';
import { addFeatures, deleteFeatures, getFeature, queryFeatures } from '@esri/arcgis-rest-feature-service';
import { addItemPart, commitItemUpload, createItem, getItem, getItemData, getPortal, getSelf, removeItem, searchItems, updateItem } from '@esri/arcgis-rest-portal';

const { PROXY_PORT, CALLER_KEY: key, READER_KEY: reader, ALICE_USERNAME: alice, CAROL_USERNAME: carol,
  ALICE_TOKEN: realToken, PORTAL_URL: realPortal, SERVER_URL: realServer } = process.env;
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
// stored asks the Portal itself what it holds of an item, as it was sent.
async function stored(id) {
  const ask = (path) => leave(`${realPortal}/sharing/rest/content/items/${id}${path}`, { headers: { 'X-Esri-Authorization': `Bearer ${realToken}` } });
  return { item: await (await ask('?f=json')).json(), data: Buffer.from(await (await ask('/data')).arrayBuffer()) };
}
const forbidden = (call) => assert.rejects(call, (e) => {
  assert.match(e.message, /read/);
  assert.match(String(e.code), /403/);
  return true;
});
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
  'fromToken with the key and tokenExpires: a server\'s layer, too': async () => {
    const authentication = await ArcGISIdentityManager.fromToken({ token: key, portal, tokenExpires: new Date(Date.now() + 3600e3) });
    assert.equal((await allFeatures({ authentication })).length, 3200);
    assert(sent.filter(({ url }) => url.pathname.endsWith('/query')).every(({ url }) => url.searchParams.has('token')), 'a query without a token');
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
  'Koop: the client exchanges its token for it, too': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const hydrants = `${site}/koop/rest/services/hydrants/FeatureServer/0`;
    const links = [];
    for (let more = true; more;) {
      const page = await queryFeatures({ url: hydrants, outFields: ['*'], resultOffset: links.length, authentication });
      links.push(...page.features.map((f) => f.attributes.link));
      more = page.exceededTransferLimit;
    }
    assert.deepEqual(links, Array.from({ length: 2600 }, (_, i) => `${realPortal}/home/item.html?id=hydrant${i + 1}`));
    assert.match(authentication.federatedServers[`${site}/koop`].token, /^arcproxy_a_/);
    const asked = sent.filter(({ url }) => url.pathname.endsWith('/rest/info') || url.pathname.endsWith('/generateToken'));
    assert(asked.length >= 3, 'the client did not ask where tokens come from');
  },
  'what the Portal says leads to the proxy, and on from there': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const self = await getPortal(null, { portal, authentication });
    assert.equal(self.portalHostname, `localhost:${PROXY_PORT}/portal`);
    assert(self.helperServices.geometry.url.startsWith(`${server}/`), self.helperServices.geometry.url);
    const { results } = await searchItems({ q: 'title:"Street trees"', authentication });
    assert.equal(results[0].url, `${server}/rest/services/Trees/FeatureServer`);
    assert.equal((await queryFeatures({ url: `${results[0].url}/0`, returnCountOnly: true, authentication })).count, 3200);
    assert.equal((await getItem(results[0].id, { authentication })).url, results[0].url);
  },
  'an upload in one request: the file as it is, the properties in the Portal\'s addresses': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'nightly', password: key, portal });
    const bytes = Buffer.concat([Buffer.from(`${site}/portal ${realPortal}\r\n`), Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251))]);
    // The client takes the caller's name for the owner's, unless it is told.
    const made = await createItem({ authentication, owner: alice, item: { title: 'Uploaded', type: 'CSV', tags: ['rest-js'], url: `${server}/rest/services/Trees/FeatureServer`,
      description: `<a href="${site}/portal/home/">Straße</a>`, file: new File([bytes], 'up load.csv', { type: 'text/csv' }) } });
    assert(made.success, JSON.stringify(made));
    try {
      assert.equal(typeof sent.at(-1).body.get, 'function', 'it was no multipart request');
      assert.equal(sent.at(-1).body.get('token'), authentication.token, 'the token was no part of it');
      const { item, data } = await stored(made.id);
      assert.equal(item.url, `${realServer}/rest/services/Trees/FeatureServer`);
      assert.equal(item.description, `<a href="${realPortal}/home/">Straße</a>`);
      assert.equal(item.name, 'up load.csv');
      assert(data.equals(bytes), 'the file is another');
      const read = await getItem(made.id, { authentication });
      assert.equal(read.url, `${server}/rest/services/Trees/FeatureServer`);
      assert.equal(read.description, `<a href="${site}/portal/home/">Straße</a>`);
      assert(Buffer.from(await (await getItemData(made.id, { authentication, file: true })).arrayBuffer()).equals(bytes), 'the file comes back as another');
    } finally {
      assert((await removeItem({ id: made.id, owner: alice, authentication })).success);
    }
  },
  'an upload in parts, with the key in a header, too: the client puts it behind the file': async () => {
    const authentication = await ArcGISIdentityManager.fromToken({ token: key, portal });
    const parts = [5 << 20, 5 << 20, 1000].map((size, n) => Buffer.alloc(size, `${site}/portal ${n} `));
    const made = await createItem({ authentication, owner: alice, multipart: true, filename: 'large.zip', item: { title: 'In parts', type: 'Shapefile', tags: ['rest-js'] } });
    try {
      await Promise.all(parts.map(async (part, n) => {
        assert((await addItemPart({ id: made.id, owner: alice, partNum: n + 1, file: new Blob([part]), authentication,
          headers: { 'X-Esri-Authorization': `Bearer ${key}` } })).success);
      }));
      assert((await commitItemUpload({ id: made.id, owner: alice, item: { title: 'In parts', type: 'Shapefile' }, authentication })).success);
      let status;
      for (let tries = 0; tries < 50 && status !== 'completed'; tries++) {
        ({ status } = await request(`${portal}/content/users/${alice}/items/${made.id}/status`, { authentication }));
      }
      assert.equal(status, 'completed');
      assert((await stored(made.id)).data.equals(Buffer.concat(parts)), 'the file is another');
    } finally {
      assert((await removeItem({ id: made.id, owner: alice, authentication })).success);
    }
  },
  'a web map, made and updated, holds the Portal\'s addresses': async () => {
    const authentication = await ArcGISIdentityManager.fromToken({ token: key, portal });
    const map = (at, version) => ({ operationalLayers: [{ url: `${at}/server/rest/services/Trees/FeatureServer/0`, title: 'Überblick' }], version });
    const upstream = realPortal.replace(/\/portal$/, '');
    const made = await createItem({ authentication, owner: alice, item: { title: 'A map', type: 'Web Map', tags: ['rest-js'], text: map(site, '2.28') } });
    try {
      assert.equal((await stored(made.id)).data.toString(), JSON.stringify(map(upstream, '2.28')));
      assert((await updateItem({ authentication, owner: alice, item: { id: made.id, snippet: `at ${site}/portal`, text: map(site, '2.29') } })).success);
      const { item, data } = await stored(made.id);
      assert.equal(data.toString(), JSON.stringify(map(upstream, '2.29')));
      assert.equal(item.snippet, `at ${realPortal}`);
      // Data of items are theirs: they come back as they are stored.
      assert.deepEqual(await getItemData(made.id, { authentication }), map(upstream, '2.29'));
    } finally {
      assert((await removeItem({ id: made.id, owner: alice, authentication })).success);
    }
  },
  'a caller that may only read signs in, searches and queries': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'reader', password: reader, portal });
    assert.equal(await who(authentication), alice);
    assert((await searchItems({ q: 'trees', authentication })).total > 0);
    assert.equal((await allFeatures({ authentication })).length, 3200);
    assert.equal((await queryFeatures({ url: trees, httpMethod: 'POST', where: 'OBJECTID < 3', authentication })).features.length, 2);
  },
  'and is refused with a reason when it edits, adds or deletes': async () => {
    const authentication = await ArcGISIdentityManager.signIn({ username: 'reader', password: reader, portal });
    await forbidden(addFeatures({ url: trees, features: [{ attributes: { Species: 'Ginkgo biloba' } }], authentication }));
    await forbidden(deleteFeatures({ url: trees, objectIds: [1], authentication }));
    await forbidden(request(`${trees}/deleteFeatures`, { httpMethod: 'GET', params: { objectIds: 1 }, authentication }));
    await forbidden(createItem({ authentication, owner: alice, item: { title: 'Forbidden', type: 'CSV', tags: ['no'] } }));
    await forbidden(createItem({ authentication, owner: alice, item: { title: 'Forbidden', type: 'CSV', tags: ['no'], file: new File(['a,b'], 'a.csv') } }));
    assert.equal((await queryFeatures({ url: trees, returnCountOnly: true, authentication })).count, 3200);
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
