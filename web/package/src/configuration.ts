// The configuration, in the words of Carded's filter: an entry of `credentials` or `issuers` here is one there. It is read
// in Rust (`web/src/trust.rs`, `credentials.rs`), where unknown fields and unsafe values are errors.

import type { Json } from './results.js';

/** Whom to trust for what. */
export interface Configuration<Name extends string = string> {
  /** What people may be asked to show, by name: a-z, 0-9, `-` and `_`. */
  readonly credentials?: { readonly [name in Name]: Credential };
  /** Who may vouch for a caller with a JWT, by name. */
  readonly issuers?: { readonly [name: string]: Issuer };
  /**
   * Hosts, beside those of the issuers, from which documents may be fetched: of key sets and status lists that lie
   * elsewhere, of holders' `did:web`. In lower case, with the port where there is one.
   */
  readonly fetch_hosts?: readonly string[];
  /** For development alone: http and ports for hosts that end in `.localhost`. */
  readonly danger_allow_http_localhost?: boolean;
}

/** A time with its unit: `250ms`, `2s`, `10m`, `8h`, `1d`. */
export type Span = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

/** A signature algorithm of JOSE. */
export type Algorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'EdDSA';

/** An https issuer or a DID, or everyone with a certificate under a root (PEM, or DER in base64). */
export type TrustedIssuer = string | { readonly certificate: string };

/** One way to show a credential. */
export interface Way {
  /** A DCQL credential query without its id (OpenID4VP 1.0 section 6.1). With `age` the claims are made from it. */
  readonly query: CredentialQuery;
  /** Proof of an age, without a birth date. */
  readonly age?: {
    /** `age_equal_or_over.N` or `age_over_N` must be true. */
    readonly at_least: number;
    /** Higher ages whose proof is accepted too. */
    readonly higher?: readonly number[];
    /** Whether a birth date may be asked for where no age is attested. It tells more than is needed. */
    readonly birth_date?: boolean;
  };
  /** Whose credentials count; at least one. */
  readonly trusted_issuers: readonly [TrustedIssuer, ...TrustedIssuer[]];
  /** The allow-list for signatures of issuers, holders and status lists. `["ES256", "ES384", "EdDSA"]` by default. */
  readonly algorithms?: readonly Algorithm[];
  /** Whether a credential must have a status. `require` by default. */
  readonly status?: 'require' | 'if_present';
  /** Whose status lists count; by default those of the credential's own issuer. */
  readonly status_issuers?: readonly TrustedIssuer[];
  /** What follows where a status cannot be had. `refuse` by default. */
  readonly status_unavailable?: 'refuse' | 'accept';
  /** Whether the presenter must prove to hold the credential's key. True by default. */
  readonly holder_binding?: boolean;
  /** How old a presentation may be; `5m` by default, at most `1h`. */
  readonly max_presentation_age?: Span;
  /** How old a credential may be, since its `iat`. */
  readonly max_credential_age?: Span;
  /** How far clocks may differ; `60s` by default, at most `5m`. */
  readonly clock_skew?: Span;
  /** Whether the old `typ` `vc+sd-jwt` is taken beside `dc+sd-jwt`. */
  readonly accept_vc_sd_jwt?: boolean;
}

/** What a person may be asked to show, and whose word counts for it. */
export interface Credential extends Way {
  /** Other ways to show the same: any one of them is enough. */
  readonly alternatives?: readonly Way[];
}

/** A DCQL credential query, without its id. */
export type CredentialQuery = {
  /** Claims to be shown. */
  readonly claims?: readonly ClaimsQuery[];
  /** Sets of ids of claims, any one of which is enough. */
  readonly claim_sets?: readonly (readonly string[])[];
  /** Issuers by the key identifier of their certificate authority. */
  readonly trusted_authorities?: readonly { readonly type: 'aki'; readonly values: readonly string[] }[];
} & (
  | { readonly format: 'dc+sd-jwt'; readonly meta: { readonly vct_values: readonly string[] } }
  | { readonly format: 'jwt_vc_json'; readonly meta: { readonly type_values: readonly (readonly string[])[] } }
);

/** A claim of a DCQL query. */
export interface ClaimsQuery {
  /** Names it in `claim_sets`. */
  readonly id?: string;
  /** Names, indexes, or null for every element. */
  readonly path: readonly (string | number | null)[];
  /** The values that do. */
  readonly values?: readonly (string | number | boolean)[];
}

/** An issuer of JWTs. */
export interface Issuer {
  /** `iss`, exactly. */
  readonly issuer: string;
  /** The audiences that are accepted. */
  readonly audiences: readonly string[];
  /** The allow-list of algorithms. */
  readonly algorithms: readonly Algorithm[];
  /** Where the keys are. */
  readonly keys:
    | { readonly discovery: true }
    | { readonly jwks_uri: string }
    | { readonly jwks: { readonly keys: readonly { readonly [member: string]: Json }[] } };
  /** How far clocks may differ, in seconds. */
  readonly clock_skew_seconds?: number;
}
