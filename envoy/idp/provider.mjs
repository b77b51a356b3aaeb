// The demo's identity provider: npm `oidc-provider` (a certified OpenID provider) that gives JWT access tokens (RFC 9068) by
// client credentials (RFC 6749 §4.4) for an audience named as a resource indicator (RFC 8707).
//
// Started by the demo with ISSUER (its public URL) and PORT (where it listens on 127.0.0.1) in the environment; it prints
// "ready" when it answers. Its signing keys are made anew at each start.

import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import { Provider, errors } from "oidc-provider";

const { ISSUER: issuer, PORT: port } = process.env;

/** What each audience may be asked for, and how long a token for it lives, in seconds. */
const resources = {
  "https://api.shop.localhost": 3600,
  "https://api.shop.localhost/short-lived": 1,
  "https://payroll.localhost": 3600,
};

/** The callers. A real provider would have people; client credentials need none. */
const clients = [
  { id: "alice", secret: "alice-secret", roles: ["clerk"] },
  { id: "bob", secret: "bob-secret", roles: ["visitor"] },
];

const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const signingKey = { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "demo-1" };

const provider = new Provider(issuer, {
  jwks: { keys: [signingKey] },
  cookies: { keys: [crypto.randomUUID()] },
  clients: clients.map(({ id, secret }) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  })),
  scopes: [],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_context, resource) {
        const lifetime = resources[resource];
        if (lifetime === undefined) throw new errors.InvalidTarget();
        // the short-lived tokens are for the same audience: only their time differs
        const audience = resource.replace(/\/short-lived$/, "");
        return { scope: "", audience, accessTokenFormat: "jwt", accessTokenTTL: lifetime, jwt: { sign: { alg: "RS256" } } };
      },
    },
  },
  extraTokenClaims(_context, token) {
    const client = clients.find(({ id }) => id === token.clientId);
    return { sub: client.id, roles: client.roles };
  },
});
provider.proxy = true; // Envoy is in front

createServer(provider.callback()).listen(Number(port), "127.0.0.1", () => console.log("ready"));
