// A Koop plugin that asks a Portal whose a token is, as a federated server does.
const { version } = require('./package.json');

const KEEP = 30_000; // milliseconds that the Portal's word is believed

// guard makes the plugin. A request without a token is refused with code 499, one
// with a token that the Portal does not know with 498; an answer to any other
// carries the user's name in X-Koop-User.
function guard(portal) {
  const known = new Map(); // token: { username, until }

  async function whose(token) {
    const before = known.get(token);
    if (before && Date.now() < before.until) return before.username;
    const answer = await fetch(`${portal}/sharing/rest/community/self?f=json`, {
      headers: { 'X-Esri-Authorization': `Bearer ${token}` }, signal: AbortSignal.timeout(20_000) });
    const { username } = await answer.json();
    if (username) known.set(token, { username, until: Date.now() + KEEP });
    return username;
  }

  return {
    type: 'auth',
    name: 'tokens of a Portal',
    version,
    // Koop makes this a method of the provider's model: no "this" of ours.
    async authorize(req) {
      const token = req.get('X-Esri-Authorization')?.replace(/^Bearer +/i, '').trim() || req.query.token || req.body?.token;
      if (!token) throw refusal(499, 'Token Required');
      const username = await whose(String(token));
      if (!username) throw refusal(498, 'Invalid token.');
      req.res.set('X-Koop-User', username);
    },
    async authenticate() {
      throw refusal(400, 'Unable to generate token.');
    },
  };
}

const refusal = (code, message) => Object.assign(new Error(message), { code });

module.exports = { guard };
