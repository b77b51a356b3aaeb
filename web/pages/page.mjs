// The page: reads the form, verifies, shows the verdict. Everything that comes from a token is set as text, never as HTML.

import { load, verify } from './verify.mjs';

// the filter's own default: with both RS256 and PS256 an RSA key without `alg` would be good for two
const ALGORITHMS = ['RS256', 'ES256', 'ES384', 'EdDSA'];
const TIMES = new Set(['exp', 'nbf', 'iat', 'auth_time', 'updated_at']);

const get = (id) => document.getElementById(id);
const make = load();

for (const choice of document.querySelectorAll('input[name=keys]')) {
  choice.addEventListener('change', () => {
    get('jwks').hidden = chosen() !== 'jwks';
  });
}

get('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.submitter ?? document.querySelector('button');
  button.disabled = true;
  try {
    const verifier = (await make)(trust());
    try {
      show(await verify(verifier, get('token').value.trim()));
    } finally {
      verifier.free();
    }
  } catch (error) {
    show({ outcome: 'denied', code: 'not_configured', detail: String(error?.message ?? error), report: [] });
  } finally {
    button.disabled = false;
  }
});

function chosen() {
  return document.querySelector('input[name=keys]:checked').value;
}

function trust() {
  let keys = { discovery: true };
  if (chosen() === 'jwks') {
    try {
      keys = { jwks: JSON.parse(get('jwks').value) };
    } catch {
      throw new Error('the JWK Set is no JSON');
    }
  }
  const issuer = { issuer: get('issuer').value, audiences: [get('audience').value], algorithms: ALGORITHMS, keys };
  return { issuers: { trusted: issuer } };
}

function show(result) {
  const verified = result.outcome === 'verified';
  get('verdict').className = result.outcome;
  get('verdict').textContent = verified ? 'Verified' : `Refused: ${result.code}`;
  get('detail').textContent = verified
    ? `Signed by ${result.iss} with ${result.algorithm}.`
    : `${result.detail}.`;
  get('checks').replaceChildren(
    ...result.report.map(({ check, passed, note }) => {
      const item = element('li', note ? `${check}: ${note}` : check);
      if (!passed) item.className = 'failed';
      return item;
    }),
  );
  get('claims-part').hidden = !verified;
  get('claims').replaceChildren(...Object.entries(result.claims ?? {}).map(row));
  get('result').hidden = false;
}

function row([name, value]) {
  const cell = element('td', typeof value === 'string' ? value : JSON.stringify(value));
  if (TIMES.has(name) && typeof value === 'number') {
    cell.append(' ', element('small', new Date(value * 1000).toLocaleString()));
  }
  const line = document.createElement('tr');
  line.append(element('th', name), cell);
  return line;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
