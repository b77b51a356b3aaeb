//! Claims path pointers into credentials that are JSON (OpenID4VP 1.0 section 7.1).
//!
//! An index counts in the credential as its holder has it. A wallet withholds the elements that were not asked for
//! (section 6.4.1), so a verifier sees those that are left with digests between them, and some digests are decoys: it takes
//! an element for the one of that index where it may be it. Where nothing is withheld, there is only the one.
use super::{ClaimsQuery, ConcretePathElement, PathElement};
use crate::sd_jwt::is_withheld;
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
        let mut certain = true;
        for element in rest {
            selected = step(&selected, element, &mut certain)?;
        }
        if !self.values.is_empty() {
            selected.retain(|(_, value)| self.values.contains(value));
        }
        (!selected.is_empty()).then_some(selected)
    }
}

/// One step from everything that is selected. `None` where one of it is of the wrong type, if it is `certain` to be meant;
/// what lacks the member or the index is left out.
fn step<'a>(selected: &[Selected<'a>], element: &PathElement, certain: &mut bool) -> Option<Vec<Selected<'a>>> {
    let mut next = Vec::new();
    let mut add = |path: &[ConcretePathElement], last: ConcretePathElement, value: &'a Value| {
        let mut path = path.to_vec();
        path.push(last);
        next.push((path, value));
        (next.len() <= MOST_SELECTED).then_some(())
    };
    let all_certain = *certain;
    for (path, value) in selected {
        match (element, value) {
            (PathElement::Name(name), Value::Object(object)) => {
                if let Some(member) = object.get(name) {
                    add(path, ConcretePathElement::Name(name.clone()), member)?;
                }
            }
            (PathElement::Index(index), Value::Array(array)) => {
                let index = usize::try_from(*index).ok()?;
                for (least, most, member) in elements(array).take_while(|(least, _, _)| *least <= index) {
                    if index <= most {
                        *certain &= least == most;
                        add(path, ConcretePathElement::Index(least), member)?;
                    }
                }
            }
            (PathElement::All, Value::Array(array)) => {
                for (index, _, member) in elements(array) {
                    add(path, ConcretePathElement::Index(index), member)?;
                }
            }
            _ if all_certain => return None,
            _ => {}
        }
    }
    Some(next)
}

/// The elements that are shown, each with the least and the most that its index can be among all: none or all of the
/// digests before it may be decoys. The least is its index among those that are shown.
fn elements(array: &[Value]) -> impl Iterator<Item = (usize, usize, &Value)> {
    let shown = array.iter().enumerate().filter(|(_, element)| !is_withheld(element));
    shown.enumerate().map(|(least, (most, element))| (least, most, element))
}
