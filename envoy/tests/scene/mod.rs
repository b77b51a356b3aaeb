//! The scene of the demo, with the software of others as its wallet, its issuer and its verifier.

mod browser;
mod dcql;
mod foreign;
mod issuance;
mod ours;
mod sd_jwt;
mod showing;
mod support;
