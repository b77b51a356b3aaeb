//! The real-Envoy harness.
