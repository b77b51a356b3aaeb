// SD-JWT VCs by npm @sd-jwt/sd-jwt-vc: issues, presents, verifies. In: { do: "issue" | "present" | "verify" | "status", … }.
import { digest, generateSalt } from '@sd-jwt/crypto-nodejs';
import { getListFromStatusListJWT } from '@sd-jwt/jwt-status-list';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';
import { compactVerify, importJWK } from 'jose';
import { holds } from './jose.mjs';
import { done, task } from './web.mjs';
import crypto from 'node:crypto';

const signerOf = ({ alg, privateJwk }) => async (data) => {
  const key = crypto.createPrivateKey({ key: privateJwk, format: 'jwk' });
  return crypto.sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
};
const verifierOf = (jwk, alg) => (data, signature) => holds(`${data}.${signature}`, jwk, alg);

const tasks = {
  async issue({ payload, frame, key, kid }) {
    const issuer = new SDJwtVcInstance({ signer: signerOf(key), signAlg: key.alg, hasher: digest, hashAlg: 'sha-256', saltGenerator: generateSalt });
    return { credential: await issuer.issue(payload, frame, { header: kid ? { kid } : {} }) };
  },
  async present({ credential, frame, key, aud, nonce, iat }) {
    const holder = new SDJwtVcInstance({ hasher: digest, hashAlg: 'sha-256', saltGenerator: generateSalt, kbSigner: signerOf(key), kbSignAlg: key.alg });
    return { presentation: await holder.present(credential, frame, { kb: { payload: { iat, aud, nonce } } }) };
  },
  async verify({ credential, issuer, nonce, statusTokens = {} }) {
    const verifier = new SDJwtVcInstance({
      hasher: digest,
      hashAlg: 'sha-256',
      verifier: verifierOf(issuer, 'ES256'),
      statusListFetcher: async (uri) => statusTokens[uri],
      kbVerifier: async (data, signature, payload) => {
        const jwk = payload.cnf.jwk;
        return await holds(`${data}.${signature}`, jwk, jwk.kty === 'OKP' ? 'EdDSA' : 'ES256');
      },
    });
    const { payload, kb } = await verifier.verify(credential, nonce ? { keyBindingNonce: nonce } : {});
    return { payload, kb };
  },
  async status({ token, issuer, indexes }) {
    await compactVerify(token, await importJWK(issuer, 'ES256'));
    const list = getListFromStatusListJWT(token);
    return { bits: list.getBitsPerStatus(), states: indexes.map((index) => list.getStatus(index)) };
  },
};

const given = await task();
try {
  done(await tasks[given.do](given));
} catch (error) {
  done({ error: String(error?.message ?? error) });
}
