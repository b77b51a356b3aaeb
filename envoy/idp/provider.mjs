// The demo's identity provider: npm `oidc-provider` (a certified OpenID provider). People sign in with the authorization code flow,
// with a second factor where `acr_values` asks for one; programs get JWT access tokens (RFC 9068) by client credentials (RFC 6749
// §4.4) for an audience named as a resource indicator (RFC 8707).
//
// Started by the demo with ISSUER (its public URL), PORT (where it listens on 127.0.0.1), SHOP (the shop's origin), CLIENT_SECRET (the
// shop's), PEOPLE (JSON: id, name, email), STYLE (a style sheet's file) and REVOKED (the address of the operator's list) in the
// environment; it prints "ready" when it answers. Its signing keys are made anew at each start.

import { createServer, request as ask } from "node:http";
import { randomInt } from "node:crypto";
import { text } from "node:stream/consumers";
import { exportJWK, generateKeyPair } from "jose";
import { Provider, errors, interactionPolicy } from "oidc-provider";
import { failed, headers, secondStep, send, signIn, signOut, signedOut, style } from "./pages.mjs";

const { ISSUER: issuer, PORT: port, SHOP: shop, CLIENT_SECRET: secret, REVOKED: revoked } = process.env;
const people = JSON.parse(process.env.PEOPLE);
const sheet = style(process.env.STYLE);

/** The context of authentication with a second factor. */
const SECOND_FACTOR = "urn:demo:second-factor";
/** The shop's name here. */
const CLIENT = "shop";

/** What each audience may be asked for, and how long a token for it lives, in seconds. */
const resources = {
  "https://api.shop.localhost": 3600,
  "https://api.shop.localhost/short-lived": 1,
  "https://payroll.localhost": 3600,
};

/** The programs that call. */
const programs = [
  { id: "alice", secret: "alice-secret", roles: ["clerk"] },
  { id: "bob", secret: "bob-secret", roles: ["visitor"] },
];

const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const signingKey = { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "demo-1" };

const policy = interactionPolicy.base();
policy.get("login").checks.add(
  new interactionPolicy.Check("thrown_out", "an operator has ended the session", async ({ oidc }) => {
    const sid = oidc.session.sidFor(CLIENT);
    if (!sid || oidc.result?.login || !(await isRevoked(sid))) return interactionPolicy.Check.NO_NEED_TO_PROMPT;
    // whoever signs in next begins a session of another name
    delete oidc.session.authorizations[CLIENT];
    return interactionPolicy.Check.REQUEST_PROMPT;
  }),
);
policy.add(
  new interactionPolicy.Prompt(
    { name: "second_factor" },
    new interactionPolicy.Check("second_factor_missing", "a second factor is needed", ({ oidc }) => {
      const asked = oidc.claims.id_token?.acr?.values ?? [];
      return asked.includes(SECOND_FACTOR) && oidc.acr !== SECOND_FACTOR;
    }),
  ),
  1,
);

/** Whether the operator's list, which the gateway reads too, names this session. */
async function isRevoked(sid) {
  const list = await (await fetch(revoked)).json();
  return list.revoked.some((entry) => entry.sid === sid);
}

const provider = new Provider(issuer, {
  jwks: { keys: [signingKey] },
  cookies: { keys: [crypto.randomUUID()] },
  clients: [
    {
      client_id: CLIENT,
      client_secret: secret,
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [`${shop}/.carded/callback/corp`],
      post_logout_redirect_uris: [`${shop}/bye`],
      backchannel_logout_uri: `${shop}/.carded/backchannel-logout/corp`,
      backchannel_logout_session_required: true, // ID tokens name the session (`sid`)
    },
    ...programs.map(({ id, secret }) => ({
      client_id: id,
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
  ],
  claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
  conformIdTokenClaims: false, // the claims of the scopes are in the ID token too
  pkce: { required: () => true },
  ttl: { AccessToken: 60 }, // of the shop's logins: short, so that one sees them refreshed
  issueRefreshToken: (_context, client) => client.grantTypeAllowed("refresh_token"),
  acrValues: [SECOND_FACTOR],
  interactions: { policy, url: (_context, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (context, form) => html(context, signOut(form, context.oidc.client && new URL(shop).host)),
      postLogoutSuccessSource: (context) => html(context, signedOut()),
    },
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
    const program = programs.find(({ id }) => id === token.clientId);
    return program && { sub: program.id, roles: program.roles };
  },
  findAccount(_context, id) {
    const person = people.find((one) => one.id === id);
    return person && { accountId: id, claims: () => ({ sub: id, name: person.name, email: person.email }) };
  },
  // the shop and the provider belong together: nobody is asked what the shop may know
  async loadExistingGrant({ oidc }) {
    const known = oidc.session.grantIdFor(oidc.client.clientId);
    const found = known && (await provider.Grant.find(known));
    if (found) return found;
    const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
  renderError: (context, out) => html(context, failed(out)),
  fetch: fetchLocal,
});
provider.proxy = true; // Envoy is in front

/** A page from within the provider, whose cookies are set after this. */
function html(context, body) {
  context.set(headers(shop));
  context.body = body;
}

/** As `fetch`, for names under `.localhost`, which Node does not look up everywhere. */
function fetchLocal(url, { method = "GET", headers = {}, body = "" } = {}) {
  const { hostname, port, host, pathname, search } = new URL(url);
  if (!hostname.endsWith(".localhost")) return fetch(url, { method, headers, body });
  return new Promise((resolve, reject) => {
    const content = String(body);
    const all = { ...Object.fromEntries(new Headers(headers)), host, "content-length": Buffer.byteLength(content) };
    const call = ask({ host: "127.0.0.1", port, method, path: `${pathname}${search}`, headers: all }, async (reply) => {
      const said = await text(reply);
      resolve(new Response(said || null, { status: reply.statusCode }));
    });
    call.on("error", reject).end(content);
  });
}

/** The codes that were sent, by the interaction they belong to. */
const codes = new Map();

function codeOf(uid) {
  if (codes.size > 1000) codes.clear();
  if (!codes.has(uid)) codes.set(uid, String(randomInt(1_000_000)).padStart(6, "0"));
  return codes.get(uid);
}

/** The pages of an interaction: `/interaction/UID`, and what its forms do. */
async function interaction(request, reply) {
  const { uid, prompt, session } = await provider.interactionDetails(request, reply);
  const step = new URL(request.url, issuer).pathname.split("/")[3];
  const finish = (result) => provider.interactionFinished(request, reply, result, { mergeWithLastSubmission: false });
  const fields = request.method === "POST" ? new URLSearchParams(await text(request)) : undefined;
  if (step === "cancel" && fields) {
    return finish({ error: "access_denied", error_description: "you chose not to sign in" });
  }
  if (prompt.name === "second_factor") {
    const code = codeOf(uid);
    const given = fields?.get("code")?.replace(/\s/g, "");
    if (step === "code" && given === code) {
      codes.delete(uid);
      return finish({ login: { accountId: session.accountId, acr: SECOND_FACTOR, amr: ["pwd", "otp"] } });
    }
    const name = people.find(({ id }) => id === session.accountId)?.name.split(" ")[0] ?? "";
    return send(reply, 200, secondStep({ uid, code, name, wrong: step === "code" }), shop);
  }
  if (step === "login" && people.some(({ id }) => id === fields?.get("person"))) {
    return finish({ login: { accountId: fields.get("person"), amr: ["pwd"] } });
  }
  return send(reply, 200, signIn({ uid, people, shop, known: session?.accountId }), shop);
}

const answer = provider.callback();
createServer((request, reply) => {
  if (request.url === "/house.css") return void reply.writeHead(200, { "content-type": "text/css; charset=utf-8" }).end(sheet);
  if (!request.url.startsWith("/interaction/")) return void answer(request, reply);
  interaction(request, reply).catch((error) => {
    const plain = error instanceof errors.SessionNotFound ? "This sign-in has ended, or began in another browser. Go back to the shop and begin again." : "The provider has failed.";
    send(reply, 400, failed({ error: error.error ?? "server_error", error_description: plain }), shop);
  });
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
