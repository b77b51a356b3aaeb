//! What the verifier must withstand and what it must take: one module for each subject, in one binary.
mod claims;
mod clerk;
mod condensed;
mod credential_issuers;
mod crypto;
mod dcql;
mod dids;
mod documents;
mod fuzz;
mod issuers;
mod jwt_vc;
mod jwt_vp;
mod key_binding;
mod keys;
mod openid4vp;
mod presentation_fuzz;
mod sd_jwt;
mod shop;
mod status;
mod support;
mod tenants;
mod tokens;
mod vector_files;
mod vectors;
mod withheld_elements;
#[cfg(not(target_arch = "wasm32"))] // certificates are made by C code
mod x509;
