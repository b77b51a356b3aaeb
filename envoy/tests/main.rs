//! Carded in real Envoys: every version of `carded_envoy::fetch::ENVOY_VERSIONS` with the ready configurations, a fake
//! provider, tokens of foreign libraries, and every attack of THREATS.md that can be tried from the outside.
//!
//! What is missing (Envoy, Node, Python, the module) fails the tests where `CI=true`, and skips them with a line otherwise.

mod common;

mod authlib;
mod certificates;
mod configs;
mod crash;
mod demo;
mod fetching;
mod fleet;
mod flood;
mod foreign;
mod forwarding;
mod headers;
mod introspection;
mod leaving;
mod lending;
mod login;
mod lying;
mod observe;
mod paths;
mod possession;
mod refresh;
mod refuse;
mod reload;
mod revocation;
mod rotation;
mod scene;
mod sidecar;
mod slowing;
mod streams;
mod tokens;
mod waiting;
