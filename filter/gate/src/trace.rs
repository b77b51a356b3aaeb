//! The story of one decision, for `carded explain`. On the hot path nothing is told and nothing is paid.

use carded_verifier::{Denied, Verified};

/// Something that happened while a request was decided on.
#[derive(Debug)]
pub enum Event<'a> {
    /// The path in the form that rules are matched on.
    Path(&'a str),
    /// The rule that matched, by number and name.
    Rule(usize, &'a str),
    /// A token was found in this place.
    Found(String),
    /// A token was verified, and holds. (Nobody is told of a verdict that was remembered.)
    Verified(&'a Verified),
    /// A token does not hold.
    Denied(&'a Denied),
    /// A credential was shown before and still holds: its name, and who vouched.
    Shown(&'a str, &'a str),
    /// Whether what the rule asks for is met, and what that is.
    Requirement(bool, String),
    /// What the policies say.
    Policy(String),
}

/// Somebody who listens.
pub trait Trace {
    /// Told what happens; the closure is called only by those who listen.
    fn tell<'a>(&mut self, event: impl FnOnce() -> Event<'a>);
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Trace for Silent {
    fn tell<'a>(&mut self, _: impl FnOnce() -> Event<'a>) {}
}

impl<F: FnMut(Event<'_>)> Trace for F {
    fn tell<'a>(&mut self, event: impl FnOnce() -> Event<'a>) {
        self(event());
    }
}
