//! Indexes in memory: subjects to what a store keeps about them, and the patterns they are asked with.
//!
//! Owns: the subject tree and the subject filter. Not here: what the values mean (the stores), files.

pub mod filter;
pub mod subject_tree;

pub use filter::Filter;
pub use subject_tree::SubjectTree;
