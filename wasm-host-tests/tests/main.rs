//! The stories: each drives the built filter (or, under `host`, a small guest) through the wasmtime host and looks at what
//! became of the requests, never at the order of host calls.

mod algorithms;
mod configuration;
mod crash;
mod evidence;
mod forwarding;
mod host;
mod hostile;
mod introspection;
mod leaving;
mod lending;
mod login;
mod observability;
mod policies;
mod presenting;
mod provider;
mod public;
mod pushed;
mod quiet;
mod refresh;
mod remembered;
mod revocation;
mod slow;
mod support;
mod tenants;
mod tokens;
mod waiting;
mod workers;
