// An OpenID provider whose access tokens are opaque: npm `oidc-provider` (certified), which gives them by client credentials (RFC
// 6749 section 4.4) and says what they are (RFC 7662) to the client `gateway`.
//
// Started by tests with ISSUER (its public URL), PORT (where it listens on 127.0.0.1) and SECRET (of both clients) in the
// environment; it prints "ready" when it answers, and a line for each token that it is asked about.

import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const { ISSUER: issuer, PORT: port, SECRET: secret } = process.env;

const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const signingKey = { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "opaque-1" };
const client = (client_id, grant_types) => ({
  client_id,
  client_secret: secret,
  grant_types,
  redirect_uris: [],
  response_types: [],
});

const provider = new Provider(issuer, {
  jwks: { keys: [signingKey] },
  cookies: { keys: [crypto.randomUUID()] },
  clients: [client("robot", ["client_credentials"]), client("gateway", [])],
  scopes: ["read"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_context, asking) => asking.clientId === "gateway" },
    revocation: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, resource) => ({
        scope: "read",
        audience: resource,
        accessTokenFormat: "opaque",
        accessTokenTTL: 600,
      }),
    },
  },
});

const callback = provider.callback();
createServer((request, response) => {
  if (request.url.startsWith("/token/introspection")) console.log("asked");
  callback(request, response);
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
