//! A scripted OpenID provider: discovery and keys, and every way in which it can misbehave.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use carded_wasm_host::{Answer, Call};
use serde_json::{Value, json};

use super::Key;

/// A provider at `https://idp.example.com`; clones are the same provider.
#[derive(Clone)]
pub(crate) struct Provider(Rc<RefCell<State>>);

struct State {
    keys: Vec<Value>,
    delay: Duration,
    max_age: Option<u64>,
    broken: Option<Answer>,
    broken_keys: Option<Answer>,
    issuer: String,
    asked: Vec<String>,
}

impl Provider {
    /// A provider with these keys that answers at once.
    pub(crate) fn new(keys: &[&Key]) -> Self {
        Self(Rc::new(RefCell::new(State {
            keys: keys.iter().map(|key| key.jwk()).collect(),
            delay: Duration::ZERO,
            max_age: None,
            broken: None,
            broken_keys: None,
            issuer: "https://idp.example.com".to_owned(),
            asked: Vec::new(),
        })))
    }

    /// The cluster's answers.
    pub(crate) fn answers(&self) -> impl FnMut(&Call) -> Answer + 'static {
        let state = Rc::clone(&self.0);
        move |call| state.borrow_mut().answer(call)
    }

    /// The provider takes this long for every answer.
    pub(crate) fn delay(&self, delay: Duration) {
        self.0.borrow_mut().delay = delay;
    }

    /// `cache-control: max-age` of every answer, in seconds.
    pub(crate) fn max_age(&self, seconds: u64) {
        self.0.borrow_mut().max_age = Some(seconds);
    }

    /// The provider answers everything so.
    pub(crate) fn broken(&self, answer: Answer) {
        self.0.borrow_mut().broken = Some(answer);
    }

    /// The provider answers for its keys so; discovery works.
    pub(crate) fn broken_keys(&self, answer: Answer) {
        self.0.borrow_mut().broken_keys = Some(answer);
    }

    /// The provider works again.
    pub(crate) fn mend(&self) {
        let mut state = self.0.borrow_mut();
        (state.broken, state.broken_keys) = (None, None);
    }

    /// The provider has other keys from now on.
    pub(crate) fn rotate(&self, keys: &[&Key]) {
        self.0.borrow_mut().keys = keys.iter().map(|key| key.jwk()).collect();
    }

    /// The issuer that the discovery document names.
    pub(crate) fn calls_itself(&self, issuer: &str) {
        self.0.borrow_mut().issuer = issuer.to_owned();
    }

    /// How often this path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.0.borrow().asked.iter().filter(|asked| *asked == path).count()
    }

    /// How often the keys were asked for.
    pub(crate) fn asked_for_keys(&self) -> usize {
        self.asked("/keys")
    }
}

impl State {
    fn answer(&mut self, call: &Call) -> Answer {
        let path = call.path();
        self.asked.push(path.clone());
        if let Some(broken) = &self.broken {
            return broken.clone();
        }
        let answer = match path.as_str() {
            "/.well-known/openid-configuration" => {
                let keys = "https://idp.example.com/keys";
                Answer::json(&json!({ "issuer": self.issuer, "jwks_uri": keys }))
            }
            "/keys" => match &self.broken_keys {
                Some(broken) => return broken.clone(),
                None => Answer::json(&json!({ "keys": self.keys })),
            },
            _ => Answer::status(404, "nothing here"),
        };
        let answer = match self.max_age {
            Some(seconds) => answer.header("cache-control", format!("public, max-age={seconds}")),
            None => answer,
        };
        answer.after(self.delay)
    }
}
