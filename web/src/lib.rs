//! The verifier in the browser.
