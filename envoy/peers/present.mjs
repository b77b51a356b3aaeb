// A wallet by @openid4vc/openid4vp answers a request. In: { url, copies: [{ credential, key }], refuse?, change? }: the address it
// was sent to, what it holds (SD-JWT VCs or JWT VCs), and for what attackers do: `keep` answers and does not send.
// Out: { request, chosen, form, status, reply }.
import { setGlobalConfig } from '@openid4vc/oauth2';
import { Openid4vpClient } from '@openid4vc/openid4vp';
import { digest, generateSalt } from '@sd-jwt/crypto-nodejs';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';
import { DcqlQuery } from 'dcql';
import crypto from 'node:crypto';
import { callbacks, didJwk, sign } from './jose.mjs';
import { done, localFetch, task } from './web.mjs';

setGlobalConfig({ allowInsecureUrls: true }); // http://*.localhost
const { url, copies, refuse = false, keep = false, frame, audience, nonce, iat, show } = await task();

const client = new Openid4vpClient({ callbacks: callbacks([], localFetch) });
const parsed = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: url });
const resolved = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: parsed.params });
const request = resolved.authorizationRequestPayload;

const holder = (key) =>
  new SDJwtVcInstance({
    hasher: digest,
    hashAlg: 'sha-256',
    saltGenerator: generateSalt,
    kbSignAlg: 'ES256',
    kbSigner: async (data) => {
      const privateKey = crypto.createPrivateKey({ key: key.privateJwk, format: 'jwk' });
      return crypto.sign('sha256', Buffer.from(data), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url');
    },
  });
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());

/** What DCQL sees of a credential. */
async function candidate({ credential, key }) {
  if (credential.includes('~')) {
    const claims = await holder(key).getClaims(credential);
    return { credential_format: 'dc+sd-jwt', vct: claims.vct, claims, cryptographic_holder_binding: true };
  }
  const { vc } = decode(credential.split('.')[1]);
  return { credential_format: 'jwt_vc_json', type: vc.type, claims: vc, cryptographic_holder_binding: true };
}

/** A frame that discloses these paths. */
function frameOf(paths) {
  const all = {};
  for (const path of paths) {
    let at = all;
    path.forEach((step, n) => {
      at[step] = n === path.length - 1 ? true : (at[step] ?? {});
      at = at[step];
    });
  }
  return all;
}

async function present({ credential, key }, paths) {
  const now = iat ?? Math.floor(Date.now() / 1000);
  const aud = audience ?? request.client_id;
  const challenge = nonce ?? request.nonce;
  if (credential.includes('~')) {
    const shown = frame ?? frameOf(paths);
    return await holder(key).present(credential, shown, { kb: { payload: { iat: now, aud, nonce: challenge } } });
  }
  const did = didJwk(key.publicJwk);
  const sub = decode(credential.split('.')[1]).sub;
  return await sign(
    { alg: 'ES256', typ: 'JWT', kid: `${sub ?? did}#0` },
    {
      iss: sub ?? did, aud, nonce: challenge, iat: now, nbf: now, exp: now + 120, jti: `urn:uuid:${crypto.randomUUID()}`,
      vp: { '@context': ['https://www.w3.org/2018/credentials/v1'], type: ['VerifiablePresentation'], holder: sub ?? did, verifiableCredential: [credential] },
    },
    key.privateJwk,
  );
}

const query = DcqlQuery.parse(resolved.dcql.query);
DcqlQuery.validate(query);
const result = DcqlQuery.query(query, await Promise.all(copies.map(candidate)));
let payload = { error: 'access_denied' };
let chosen;
if (show || (!refuse && result.can_be_satisfied)) {
  chosen = show ?? Object.entries(result.credential_matches).find(([, match]) => match.success)[0];
  const match = result.credential_matches[chosen];
  const asked = query.credentials.find((one) => one.id === chosen);
  const first = match?.success ? match.valid_credentials[0] : undefined;
  const set = asked.claim_sets?.[first?.claims.valid_claim_sets?.[0]?.claim_set_index ?? 0];
  const paths = (asked.claims ?? []).filter((claim) => !set || set.includes(claim.id)).map((claim) => claim.path);
  payload = { vp_token: { [chosen]: [await present(copies[first?.input_credential_index ?? 0], paths)] } };
}
const { authorizationResponsePayload } = await client.createOpenid4vpAuthorizationResponse({
  authorizationRequestPayload: request,
  authorizationResponsePayload: payload,
});
if (keep) {
  done({ request, chosen, satisfied: result.can_be_satisfied, form: authorizationResponsePayload });
} else {
  const { response } = await client.submitOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: request,
    authorizationResponsePayload,
  });
  const text = await response.text();
  let reply;
  try {
    reply = JSON.parse(text);
  } catch {
    reply = text;
  }
  done({ request, chosen, satisfied: result.can_be_satisfied, form: authorizationResponsePayload, status: response.status, reply });
}
