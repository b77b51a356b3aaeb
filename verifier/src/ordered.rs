//! Things by their keys, in the order of the keys, in one list. A look is a binary search, as in a `BTreeMap`; putting one
//! in moves those behind it, which is cheap for as many as our bounds let there be. Of the code of a `BTreeMap` for each
//! pair of types, several kilobytes in the module, little is left.
use std::borrow::Borrow;

/// Things by their keys. For a set, `()` is the thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ordered<K, V = ()>(Vec<(K, V)>);

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Ordered<K, V> {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Where it is, or where it would be.
    #[inline(never)]
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    /// The thing of that key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().and_then(|at| self.0.get(at)).map(|(_, thing)| thing)
    }

    /// The same, to change it.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().and_then(|at| self.0.get_mut(at)).map(|(_, thing)| thing)
    }

    /// Whether there is one.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Puts one in. The one that was there before comes back.
    pub fn insert(&mut self, key: K, thing: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => self.0.get_mut(at).map(|(_, known)| std::mem::replace(known, thing)),
            Err(at) => {
                self.0.insert(at, (key, thing));
                None
            }
        }
    }

    /// Takes one out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Those whose keys come after this one.
    pub fn after<Q: Ord + ?Sized>(&self, key: &Q) -> std::slice::Iter<'_, (K, V)>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).map_or_else(|at| at, |at| at.saturating_add(1));
        self.0.get(at..).unwrap_or_default().iter()
    }
}

impl<K, V> Ordered<K, V> {
    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (K, V)> {
        self.0.iter()
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The things, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, thing)| thing)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord> FromIterator<K> for Ordered<K, ()> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut all = Self::new();
        for key in keys {
            all.insert(key, ());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_holds_what_a_btree_map_holds() {
        let (mut ours, mut theirs) = (Ordered::new(), BTreeMap::new());
        let mut number = 7_u32;
        for step in 0..2000_u32 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (number >> 16) % 97;
            if step % 3 == 0 {
                assert_eq!(ours.remove(&key), theirs.remove(&key));
            } else {
                assert_eq!(ours.insert(key, step), theirs.insert(key, step));
            }
            assert_eq!(ours.get(&key), theirs.get(&key));
            assert_eq!(ours.contains_key(&(key + 1)), theirs.contains_key(&(key + 1)));
            assert_eq!((ours.len(), ours.is_empty()), (theirs.len(), theirs.is_empty()));
        }
        assert!(ours.iter().map(|(key, thing)| (key, thing)).eq(&theirs));
        assert!(ours.keys().eq(theirs.keys()) && ours.values().eq(theirs.values()));
        if let (Some(one), Some(two)) = (ours.get_mut(&5), theirs.get_mut(&5)) {
            (*one, *two) = (1, 1);
        }
        assert!(ours.after(&5).map(|(key, thing)| (key, thing)).eq(theirs.range(6..)));
    }

    #[test]
    fn a_set_has_each_once_and_tells_what_comes_after_one_that_is_not_there_too() {
        let set: Ordered<&str> = ["c", "a", "b", "a"].into_iter().collect();
        assert!(set.keys().eq(&["a", "b", "c"]));
        assert!(set.after("aa").map(|(key, ())| *key).eq(["b", "c"]));
        assert_eq!(set.after("z").count(), 0);
        assert_eq!(Ordered::<&str>::new().after("a").count(), 0);
    }
}
