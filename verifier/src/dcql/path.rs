//! Claims path pointers into credentials that are JSON (OpenID4VP 1.0 section 7.1).
use super::{ClaimsQuery, ConcretePathElement, PathElement};
use serde_json::{Map, Value};

/// More claims than any path should select; it bounds what a query can make of a large array.
const MOST_SELECTED: usize = 1024;

type Selected<'a> = (Vec<ConcretePathElement>, &'a Value);

impl ClaimsQuery {
    /// The claims that the path selects and `values` admits, each with its own path. `None` where there is none, or
    /// where the processing of section 7.1.1 ends in an error.
    pub(crate) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<Vec<Selected<'a>>> {
        let (first, rest) = self.path.split_first()?;
        // the root is an object: only a name leads on from it
        let PathElement::Name(name) = first else {
            return None;
        };
        let mut selected = vec![(vec![ConcretePathElement::Name(name.clone())], claims.get(name)?)];
        for element in rest {
            selected = step(&selected, element)?;
        }
        if !self.values.is_empty() {
            selected.retain(|(_, value)| self.values.contains(value));
        }
        (!selected.is_empty()).then_some(selected)
    }
}

/// One step from everything that is selected. `None` where one of it is of the wrong type; what lacks the member or the
/// index is left out.
fn step<'a>(selected: &[Selected<'a>], element: &PathElement) -> Option<Vec<Selected<'a>>> {
    let mut next = Vec::new();
    let mut add = |path: &[ConcretePathElement], last: ConcretePathElement, value: &'a Value| {
        let mut path = path.to_vec();
        path.push(last);
        next.push((path, value));
        (next.len() <= MOST_SELECTED).then_some(())
    };
    for (path, value) in selected {
        match element {
            PathElement::Name(name) => {
                if let Some(member) = value.as_object()?.get(name) {
                    add(path, ConcretePathElement::Name(name.clone()), member)?;
                }
            }
            PathElement::Index(index) => {
                let index = usize::try_from(*index).ok()?;
                if let Some(member) = value.as_array()?.get(index) {
                    add(path, ConcretePathElement::Index(index), member)?;
                }
            }
            PathElement::All => {
                for (index, member) in value.as_array()?.iter().enumerate() {
                    add(path, ConcretePathElement::Index(index), member)?;
                }
            }
        }
    }
    Some(next)
}
