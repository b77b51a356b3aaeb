// Fresh keys by npm `jose`. In: { count, alg }. Out: { keys: [{ alg, publicJwk, privateJwk, thumbprint }] }.
import { makeKey } from './jose.mjs';
import { done, task } from './web.mjs';

const { count, alg = 'ES256' } = await task();
const keys = [];
for (let n = 0; n < count; n += 1) keys.push(await makeKey(alg));
done({ keys });
