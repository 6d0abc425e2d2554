// SPDX-License-Identifier: Apache-2.0
//
// provider.mjs MODULES CERT KEY: npm's oidc-provider over TLS at a free port of localhost, with a public client "sbx" that may use the
// device flow. Prints its issuer. Clients "sbx-brief" have a code that ends after 2 s, others may wait for it. It wishes to be asked
// every second, which the library leaves to its user to say.
import fs from 'node:fs';
import https from 'node:https';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const [, , modules, cert, key] = process.argv;
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const device = 'urn:ietf:params:oauth:grant-type:device_code';
const client = (id) => ({
  client_id: id,
  token_endpoint_auth_method: 'none',
  grant_types: [device, 'refresh_token'],
  response_types: [],
  redirect_uris: [],
});

const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [client('sbx'), client('sbx-brief')],
    features: { deviceFlow: { enabled: true }, revocation: { enabled: true }, userinfo: { enabled: true } },
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['only a test'] },
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, email: `${id}@example.test`, email_verified: true }) }),
    ttl: {
      // So short that it is renewed before it is used.
      AccessToken: 20,
      DeviceCode: (ctx, token, of) => (of.clientId === 'sbx-brief' ? 2 : 120),
      Grant: 600, IdToken: 600, Interaction: 600, RefreshToken: 600, Session: 600,
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path === '/device/auth' && ctx.status === 200) ctx.body = { ...ctx.body, interval: 1 };
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.on('end', () => process.exit(0)).resume();
