// The pages of the demo's identity provider: signing in, the second step, signing out, and what went wrong. They have the frame and
// the style of the demo's houses (envoy/src/demo/scene/page.rs, house.css).

import { readFileSync } from "node:fs";

/** Text as HTML, also inside attributes. */
export const escape = (text) =>
  String(text).replace(/[&<>"']/g, (character) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[character]);

const MARK =
  '<g fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round" stroke-linecap="round"><circle cx="8" cy="12" r="4.2"/><path d="M12.2 12H21M17.5 12v3.2M21 12v2.2"/></g>';

/** A whole page. `body` is HTML; the title is escaped here. */
export const page = (title, body) => `<!doctype html>
<html lang="en" class="idp">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${escape(title)} · Arcadia Accounts</title><link rel="stylesheet" href="/house.css"><link rel="icon" href="data:,">
<header><div><span class="home"><svg viewBox="0 0 24 24" width="34" height="34" aria-hidden="true">${MARK}</svg>
<span><b>Arcadia Accounts</b><small>One account for every shop in the state</small></span></span></div></header>
<main class="narrow">${body}</main>
<footer><div>A demonstration: npm oidc-provider with pages of its own. The people are invented.</div></footer>
</html>
`;

/** The headers of a page: a policy under which its forms lead to `shop`, and nothing else foreign loads. */
export const headers = (shop) => ({
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": `default-src 'none'; style-src 'self'; img-src data:; form-action 'self' ${shop}; base-uri 'none'; frame-ancestors 'none'`,
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
});

/** Sends a page. */
export const send = (reply, status, html, shop) => void reply.writeHead(status, headers(shop)).end(html);

const cancel = (uid) => `<button class="quiet" formaction="/interaction/${escape(uid)}/cancel" formnovalidate>Cancel</button>`;

/** Who signs in. */
export function signIn({ uid, people, shop, known }) {
  const choices = people.map(
    ({ id, name, email }, at) =>
      `<label class="choice"><input type="radio" name="person" value="${escape(id)}"${(known ? known === id : at === 0) ? " checked" : ""}><span><b>${escape(name)}</b><small>${escape(email)}</small></span></label>`,
  );
  return page(
    "Sign in",
    `<h1>Sign in</h1>
<p class="lead">to go on to <b>${escape(new URL(shop).host)}</b></p>
<div class="card"><form method="post" action="/interaction/${escape(uid)}/login"><fieldset><legend>Your account</legend>${choices.join("")}</fieldset>
<p class="soft">A real provider would ask for a password or a passkey now. Here you may simply choose.</p><p class="actions"><button>Sign in</button>${cancel(uid)}</p></form></div>`,
  );
}

/** The second step: a code, which this demonstration shows beside the field. */
export function secondStep({ uid, code, name, wrong }) {
  const shown = `${code.slice(0, 3)} ${code.slice(3)}`;
  const note = wrong ? '<p class="wrong" role="alert">That was not the code. Try again.</p>' : "";
  return page(
    "One more step",
    `<h1>One more step, ${escape(name)}</h1>
<p class="lead">The page that you asked for needs a second factor.</p>
<div class="two"><section class="card" aria-labelledby="h-code"><h2 id="h-code">The code from your phone</h2>
<form method="post" action="/interaction/${escape(uid)}/code">${note}<p><label for="code">Six digits</label>
<input class="field" id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="7" required autofocus></p><p class="actions"><button>Continue</button>${cancel(uid)}</p></form></section>
<section class="card phone" aria-labelledby="h-phone"><h2 id="h-phone">Your phone</h2><p class="soft">In this demonstration it lies here, on the page.</p>
<p class="code" id="phone-code">${shown}</p></section></div>`,
  );
}

/** Whether the person leaves the provider too. `form` is the provider's own; `host` is the shop that was left, where there is one. */
export const signOut = (form, host) =>
  page(
    "Sign out",
    `<h1>${host ? `You have left ${escape(host)}` : "Sign out?"}</h1>
<p class="lead">${host ? "Do you want to sign out of Arcadia Accounts as well?" : "The shops that you are signed in to will be told."}</p>
${form}<p class="actions"><button form="op.logoutForm" name="logout" value="yes">Yes, sign me out</button>
<button class="quiet" form="op.logoutForm">No, stay signed in</button></p>`,
  );

/** Who has left the provider, and came from no shop. */
export const signedOut = () =>
  page("Signed out", `<h1>You have signed out</h1><p class="lead">Every shop that you were signed in to by this account was told.</p>`);

/** What went wrong, in the words of OAuth. */
export const failed = ({ error, error_description: description }) =>
  page("That did not work", `<h1>That did not work</h1><p class="lead">${escape(description ?? error)}</p><p class="soft">Code: ${escape(error)}</p>`);

/** The style sheet of the demo's houses, from the file that they have it from. */
export const style = (file) => readFileSync(file, "utf8");
