//! The Carded filter.
