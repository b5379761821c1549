// Koop, Esri's open GeoServices server, as a server that is federated with the
// simulated Portal: it takes the Portal's tokens, and asks the Portal whose they are.
//
//   GEOSERVICES_HTTP=true PORTAL_URL=https://localhost:1234/portal node server.js
//
// It serves /koop/rest/services/hydrants/FeatureServer/0 on a free port of loopback,
// from a GeoJSON file that it writes to ./data, and prints its address when it
// listens. It ends with its process.
const fs = require('node:fs');
const Koop = require('@koopjs/koop-core');
const provider = require('@koopjs/provider-file-geojson');
const { guard } = require('./auth.js');

const NAME = 'koop'; // the first segment of every path
const COUNT = 2600; // more than two pages
const PAGE = 1000;
const portal = process.env.PORTAL_URL;

// Every feature names the Portal in its attributes: data, which the proxy must
// hand over as it is.
const features = Array.from({ length: COUNT }, (_, i) => ({
  type: 'Feature',
  geometry: { type: 'Point', coordinates: [-122.7 + (i % 52) * 0.002, 45.5 + Math.floor(i / 52) * 0.002] },
  properties: {
    id: i + 1,
    kind: ['pillar', 'wall', 'flush'][i % 3],
    link: `${portal}/home/item.html?id=hydrant${i + 1}`,
    note: i % 7 ? null : `siehe ${portal.replaceAll('/', '\\/')} (überprüft, 100%)`,
  },
}));
fs.mkdirSync('data', { recursive: true });
fs.writeFileSync('data/hydrants.geojson', JSON.stringify({
  type: 'FeatureCollection', features,
  metadata: { name: 'Hydrants', title: 'Hydrants', idField: 'id', maxRecordCount: PAGE },
}));

const koop = new Koop({ logLevel: 'warn' });
// Koop itself knows no Portal that it belongs to.
koop.server.use(`/${NAME}/rest/info`, (req, res, next) => {
  const json = res.json.bind(res);
  res.json = (info) => json({ ...info, owningSystemUrl: portal,
    authInfo: { ...info.authInfo, tokenServicesUrl: `${portal}/sharing/rest/generateToken` } });
  next();
});
koop.register(guard(portal)); // holds for the providers that come after it
koop.register(provider, { name: NAME, dataDir: 'data', ttl: 600 });
const server = koop.server.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://localhost:${server.address().port}/${NAME}`);
});
