// Starts Okta's own Sign-In Widget with what a page of the simulated organization
// says, as Okta's pages do.
function startWidget(baseUrl, stateToken, fromUri, repost) {
  'use strict';
  var classic = stateToken === '' || stateToken.indexOf('00') === 0;
  var config = {
    el: '#signin-container', baseUrl: baseUrl, language: 'en',
    assets: { baseUrl: baseUrl + '/sandbox/widget' },
    features: { rememberMe: true, autoFocus: false },
  };
  if (classic) config.useClassicEngine = true;
  if (stateToken !== '') config.stateToken = stateToken;
  addEventListener('DOMContentLoaded', function () {
    new OktaSignIn(config).renderEl({ el: config.el }, function (res) {
      if (res.status !== 'SUCCESS') return;
      if (res.type === 'SESSION_STEP_UP') {
        res.stepUp.finish();
        return;
      }
      var query = new URLSearchParams({ checkAccountSetupComplete: 'true', token: res.session.token, redirectUrl: baseUrl + fromUri });
      if (repost) query.set('repost', 'true');
      location.assign(baseUrl + '/login/sessionCookieRedirect?' + query);
    }, function (error) { console.error(String(error)); });
  });
}
