// What crosses the border to the Rust side, and what is kept on the device.

/** A claim as a person reads it. */
export interface Row {
  path: (string | number)[];
  label: string;
  value: string;
}

export interface Offer {
  issuer: string;
  metadata_url: string;
  configuration_ids: string[];
  code: string;
  tx_code: { numeric: boolean; length: number | null; description: string | null } | null;
  authorization_server: string | null;
}

export interface Label {
  path: (string | null)[];
  name: string;
}

export interface Configuration {
  id: string;
  format: string;
  types: string[];
  title: string;
  description: string | null;
  binding: string;
  algorithms: string[];
  labels: Label[];
}

export interface Issuance {
  issuer: string;
  origin: string;
  name: string | null;
  credential_endpoint: string;
  nonce_endpoint: string | null;
  batch: number;
  authorization_server_metadata: string;
  authorization_server: string;
  configurations: Configuration[];
}

/** What the verifier says about a copy. */
export type Checked =
  | {
      outcome: 'verified';
      /** whose key made the copy's key: index into the keys that were handed in */
      key: number;
      signer: string;
      expires: number | null;
      has_status: boolean;
      status_until: number | null;
    }
  | { outcome: 'denied'; code: string; message: string; detail: string }
  | { outcome: 'need'; id: string; url: string; limit: number };

/** A card for `plan`: one of its copies stands for its claims. */
export interface PlanCard {
  id: string;
  title: string;
  issuer: string;
  format: string;
  types: string[];
  labels: Label[];
  credential: string;
  copies: { id: string; site: string | null; expires: number | null }[];
}

export interface Show {
  query: string;
  card: string;
  title: string;
  issuer: string;
  shown: Row[];
  hidden: string[];
  /** which copy: the one this site knows, a fresh one, one that another site knows, or none */
  copy: { pick: 'again' | 'fresh' | 'used_up' | 'none'; id: string | null };
}

export interface Way {
  id: string;
  title: string;
  shows: Show[];
  warnings: { code: string; message: string }[];
}

export interface Plan {
  origin: string;
  response_uri: string;
  calls_itself: string | null;
  /** what is asked for, in words, for a person who has nothing that fits */
  asks: string[];
  satisfiable: boolean;
  /** why not, in words */
  reason: string | null;
  groups: { required: boolean; ways: Way[] }[];
}

export interface Outgoing {
  url: string;
  body: string;
}

/** The methods of the Rust side: arguments as they are handed over, and what the JSON that comes back says. */
export interface Core {
  read_offer(text: string): { offer: Offer } | { fetch: string };
  parse_offer(body: Uint8Array): { offer: Offer };
  read_issuer(offer: Offer, metadata: Uint8Array, locale: string): Issuance;
  read_server(issuance: Issuance, metadata: Uint8Array): { token_endpoint: string };
  token_request(offer: Offer, txCode: string | null): { body: string };
  read_token(status: number, body: Uint8Array, withTxCode: boolean): { access_token: string; identifiers: Record<string, string> };
  read_nonce(status: number, body: Uint8Array): { c_nonce: string };
  prepare_proof(issuance: Issuance, configuration: Configuration, jwk: JsonWebKey, nonce: string | null, now: number): Prepared;
  credential_request(configuration: string, identifier: string | null, proofs: string[]): unknown;
  read_credentials(
    status: number,
    body: Uint8Array,
    proofs: number,
  ): { credentials: string[] } | { deferred: { seconds: number | null } };
  finish(id: number, signature: Uint8Array): { token: string };
  check_copy(issuer: string, format: string, types: string[], credential: string, keys: JsonWebKey[], now: number): Checked;
  insert(id: string, status: number, body: Uint8Array, maxAge: number | null, now: number): object;
  fail(id: string, why: string, now: number): object;
  describe(format: string, credential: string, labels: Label[]): { rows: Row[] };
  dids(jwk: JsonWebKey): { did_jwk: string; did_key: string };
  plan(query: string, cards: PlanCard[], now: number): Plan;
  prepare_presentation(
    query: string,
    id: string,
    card: { format: string; types: string[]; credential: string; jwk: JsonWebKey; binding: string },
    now: number,
  ): Prepared;
  answer(query: string, presentations: Record<string, string[]>): Outgoing;
  decline(query: string): Outgoing;
  read_reply(query: string, status: number, body: Uint8Array): { redirect_uri: string | null; same_origin: boolean };
  build(): string;
}

/** What WebCrypto is to sign: `message` is ASCII. */
export interface Prepared {
  id: number;
  message: string;
}

export interface Card {
  id: string;
  issuer: string;
  origin: string;
  issuerName: string | null;
  configurationId: string;
  format: string;
  types: string[];
  title: string;
  description: string | null;
  binding: string;
  labels: Label[];
  rows: Row[];
  /** who signed it: an https URL, a DID or a certificate's subject */
  signer: string;
  added: number;
  expires: number | null;
  status: Status;
}

export interface Status {
  state: 'valid' | 'withdrawn' | 'suspended' | 'expired' | 'unknown' | 'none';
  checked: number;
  /** until when that answer stands */
  until: number;
}

export interface Copy {
  id: string;
  card: string;
  credential: string;
  jwk: JsonWebKey;
  privateKey: CryptoKey;
  expires: number | null;
  /** the origin it belongs to, once it was shown */
  site: string | null;
  shown: number;
}

export interface Event {
  id?: number;
  when: number;
  kind: 'received' | 'shown' | 'declined' | 'deleted';
  site: string;
  card: string | null;
  title: string;
  rows: { label: string; value: string }[];
}
