//! What the verifier must withstand and what it must take: one module for each subject, in one binary.
mod claims;
mod crypto;
mod dcql;
mod dids;
mod documents;
mod fuzz;
mod issuers;
mod key_binding;
mod keys;
mod sd_jwt;
mod shop;
mod support;
mod tenants;
mod tokens;
mod vector_files;
mod vectors;
