//! The pure core of Carded.
