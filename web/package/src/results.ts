// What comes out. `ok` says which it is: nothing of a refusal can be taken for a claim.

/** A value of JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A check that ran. */
export interface CheckLine {
  /** Its name. */
  readonly check: Check;
  /** Whether it passed; the last of a refusal did not. */
  readonly passed: boolean;
  /** A detail for people; may be empty. */
  readonly note: string;
}

/** The checks, in the order in which they run. */
export type Check =
  | 'size'
  | 'parse'
  | 'issuer'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'type'
  | 'disclosures'
  | 'audience'
  | 'time'
  | 'claims'
  | 'binding'
  | 'status';

/** A refusal, with the checks that ran. */
export interface Refused {
  readonly ok: false;
  /** Stable, for programs. */
  readonly code: Code;
  /** The reason in a sentence part, fit for the caller to read. It quotes nothing that was shown. */
  readonly detail: string;
  /** What the code means, in a sentence. */
  readonly hint: string;
  /** The check that failed, where it was one. */
  readonly check?: Check;
  /** Where a document cannot be had: after how many seconds asking again may help. */
  readonly retryAfter?: number;
  /** The checks that ran. */
  readonly report: readonly CheckLine[];
}

/** A credential that was shown and passed every check. */
export interface VerifiedCredential {
  /** Which way of the credential it was: its name, or `name-2` and so on for alternatives. */
  readonly id: string;
  /** Who signed it: an https URL, a DID, or the subject of a certificate. Who someone is, is this with a claim. */
  readonly issuer: string;
  /** Its `vct`, or its types. */
  readonly types: readonly string[];
  /** What it says, as far as it was shown. */
  readonly claims: { readonly [name: string]: Json };
  /** That what was asked about the person holds: for an age, whichever way it was shown. */
  readonly satisfied: true;
  /** `exp`, in Unix seconds. */
  readonly expires?: number;
  /** Who proved to hold it: the thumbprint of the key (RFC 7638), and the DID where there is one. */
  readonly holder?: { readonly thumbprint: string; readonly did?: string };
  /** Where its status is. It tells this credential from all others: keep it as you keep a session. */
  readonly status?: StatusReference;
  /** Until when that status counts, in Unix seconds; then look it up again by `verifyStatus`. */
  readonly statusUntil?: number;
  /** The checks that ran. */
  readonly report: readonly CheckLine[];
}

/** A place in a status list. */
export interface StatusReference {
  readonly uri: string;
  readonly idx: number;
}

/** Everything that was asked for was shown and holds. */
export interface Presented<Name extends string> {
  readonly ok: true;
  /** By the names of the configuration. */
  readonly presented: { readonly [name in Name]: VerifiedCredential };
}

/** A JWT that passed every check. */
export interface VerifiedToken {
  readonly ok: true;
  /** The issuer's name in the configuration. */
  readonly issuer: string;
  /** `iss`. */
  readonly iss: string;
  readonly algorithm: string;
  readonly kid?: string;
  /** For an issuer pattern: the tenant. */
  readonly tenant?: string;
  /** `exp`, in Unix seconds. */
  readonly expires?: number;
  readonly claims: { readonly [name: string]: Json };
  readonly report: readonly CheckLine[];
}

/** A status that was looked up again and is good. */
export interface GoodStatus {
  readonly ok: true;
  /** Until when it counts, in Unix seconds. */
  readonly until: number;
}

/** Why something is refused. The last five are of this package, the others of the verifier. */
export type Code =
  | 'token_too_large'
  | 'token_malformed'
  | 'critical_header'
  | 'encrypted_token'
  | 'issuer_untrusted'
  | 'algorithm_not_allowed'
  | 'key_not_found'
  | 'key_ambiguous'
  | 'key_mismatch'
  | 'api_token_unknown'
  | 'token_inactive'
  | 'signature_invalid'
  | 'type_not_allowed'
  | 'id_token_not_accepted'
  | 'audience_mismatch'
  | 'token_expired'
  | 'token_not_yet_valid'
  | 'lifetime_too_long'
  | 'claim_missing'
  | 'claim_invalid'
  | 'token_bound'
  | 'presentation_too_large'
  | 'presentation_malformed'
  | 'disclosure_invalid'
  | 'certificate_untrusted'
  | 'holder_key_invalid'
  | 'key_binding_missing'
  | 'key_binding_invalid'
  | 'nonce_mismatch'
  | 'presentation_stale'
  | 'credential_type_mismatch'
  | 'credential_expired'
  | 'credential_not_yet_valid'
  | 'credential_too_old'
  | 'credential_revoked'
  | 'credential_suspended'
  | 'status_missing'
  | 'status_invalid'
  | 'query_not_met'
  | 'claim_mismatch'
  | 'keys_unavailable'
  | 'introspection_unavailable'
  | 'did_unresolvable'
  | 'status_unavailable'
  | 'too_many_documents'
  | 'response_malformed'
  | 'presentation_incomplete'
  | 'presentation_unrequested'
  | 'nonce_used';
