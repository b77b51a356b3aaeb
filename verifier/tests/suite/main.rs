//! What the verifier must withstand and what it must take: one module for each subject, in one binary.
mod claims;
mod crypto;
mod credential_issuers;
mod documents;
mod fuzz;
mod issuers;
mod key_binding;
mod keys;
mod presentation_fuzz;
mod sd_jwt;
mod shop;
mod status;
mod support;
mod tenants;
mod tokens;
mod vectors;
