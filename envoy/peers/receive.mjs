// A wallet by @openid4vc/openid4vci takes an offer. In: { offer, txCode, copies, alg, binding: "jwk" | "did" }, and with `batch` it
// believes in another batch size than the issuer says.
// Out: { metadata, credentials, keys }, or { error, status } where the issuer refuses.
import { setGlobalConfig } from '@openid4vc/oauth2';
import { Openid4vciClient } from '@openid4vc/openid4vci';
import { callbacks, didJwk, makeKey } from './jose.mjs';
import { done, localFetch, task } from './web.mjs';

setGlobalConfig({ allowInsecureUrls: true }); // http://*.localhost
const { offer, txCode, copies, alg = 'ES256', binding = 'jwk', batch } = await task();

const keys = [];
for (let n = 0; n < copies; n += 1) keys.push(await makeKey(alg));
const client = new Openid4vciClient({ callbacks: callbacks(keys, localFetch) });

try {
  const credentialOffer = await client.resolveCredentialOffer(offer);
  const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer);
  if (batch) issuerMetadata.credentialIssuer.batch_credential_issuance.batch_size = batch;
  const { accessTokenResponse } = await client.retrievePreAuthorizedCodeAccessTokenFromOffer({ credentialOffer, issuerMetadata, txCode });
  const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata });
  const credentialConfigurationId = credentialOffer.credential_configuration_ids[0];
  const jwts = [];
  for (const key of keys) {
    const signer =
      binding === 'did'
        ? { method: 'did', didUrl: `${didJwk(key.publicJwk)}#0`, alg }
        : { method: 'jwk', publicJwk: key.publicJwk, alg };
    const { jwt } = await client.createCredentialRequestJwtProof({ issuerMetadata, credentialConfigurationId, signer, nonce });
    jwts.push(jwt);
  }
  const { credentialResponse } = await client.retrieveCredentials({
    issuerMetadata,
    credentialConfigurationId,
    proofs: { jwt: jwts },
    accessToken: accessTokenResponse.access_token,
  });
  done({
    metadata: issuerMetadata.credentialIssuer,
    credentials: credentialResponse.credentials.map((entry) => entry.credential),
    keys,
  });
} catch (error) {
  // the package puts the issuer's reply into its message
  const message = String(error?.message ?? error);
  const reply = /\{[^]*\}/.exec(message)?.[0];
  done({ error: reply ? JSON.parse(reply).error : message, detail: String(error?.stack) });
}
