//! A radix tree from subjects to values: compact where subjects share beginnings, and walked with filters.
//!
//! Owns: the tree. Not here: what a value is. Walks go in byte order of the subjects, always. A lookup costs the
//! length of the subject, not the number of subjects; a walk with a filter enters only what may still match.

use super::filter::{Filter, Step};

/// Subjects and what is kept about each.
#[derive(Clone, Debug)]
pub struct SubjectTree<V> {
    root: Node<V>,
    count: usize,
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// The bytes between the parent and here; empty in the root only.
    label: Box<[u8]>,
    value: Option<V>,
    /// Sorted by the first byte of the label; no two share it.
    children: Vec<Node<V>>,
}

impl<V> Default for SubjectTree<V> {
    fn default() -> Self {
        Self {
            root: Node::new(&[], None),
            count: 0,
        }
    }
}

impl<V> SubjectTree<V> {
    /// How many subjects there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The value of this subject.
    pub fn get(&self, subject: &[u8]) -> Option<&V> {
        let (mut node, mut rest) = (&self.root, subject);
        while !rest.is_empty() {
            node = &node.children[node.child(rest[0]).ok()?];
            rest = rest.strip_prefix(&*node.label)?;
        }
        node.value.as_ref()
    }

    /// The value of this subject, to be changed.
    pub fn get_mut(&mut self, subject: &[u8]) -> Option<&mut V> {
        let (mut node, mut rest) = (&mut self.root, subject);
        while !rest.is_empty() {
            let index = node.child(rest[0]).ok()?;
            node = &mut node.children[index];
            rest = rest.strip_prefix(&*node.label)?;
        }
        node.value.as_mut()
    }

    /// The value of this subject, made first if there is none.
    pub fn get_or_insert_with(&mut self, subject: &[u8], make: impl FnOnce() -> V) -> &mut V {
        let (mut node, mut rest) = (&mut self.root, subject);
        while !rest.is_empty() {
            let index = match node.child(rest[0]) {
                Ok(index) => index,
                Err(index) => {
                    // Exact growth: most nodes have few children, and there are many nodes.
                    node.children.reserve_exact(1);
                    node.children.insert(index, Node::new(rest, None));
                    index
                }
            };
            node = &mut node.children[index];
            let shared = shared_length(&node.label, rest);
            if shared < node.label.len() {
                node.split(shared);
            }
            rest = &rest[shared..];
        }
        if node.value.is_none() {
            self.count += 1;
        }
        node.value.get_or_insert_with(make)
    }

    /// Takes the subject out.
    pub fn remove(&mut self, subject: &[u8]) -> Option<V> {
        let removed = self.root.remove(subject);
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// Shows every subject that matches, in byte order, until `visit` says false. Returns whether it went to the end.
    pub fn walk<'a>(&'a self, filter: &Filter, visit: &mut dyn FnMut(&[u8], &'a V) -> bool) -> bool {
        self.root.walk(filter, filter.start(), &mut Vec::new(), visit)
    }

    /// Shows every subject, and lets its value be changed.
    pub fn walk_mut(&mut self, visit: &mut dyn FnMut(&[u8], &mut V)) {
        self.root.walk_mut(&mut Vec::new(), visit);
    }
}

impl<V> Node<V> {
    fn new(label: &[u8], value: Option<V>) -> Self {
        Self {
            label: label.into(),
            value,
            children: Vec::new(),
        }
    }

    fn child(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |child| child.label[0])
    }

    /// Puts a node of the first `length` bytes of the label above what this node was.
    fn split(&mut self, length: usize) {
        let below = Node {
            label: self.label[length..].into(),
            value: self.value.take(),
            children: std::mem::take(&mut self.children),
        };
        self.label = self.label[..length].into();
        self.children.reserve_exact(1);
        self.children.push(below);
    }

    fn remove(&mut self, rest: &[u8]) -> Option<V> {
        let Some(first) = rest.first() else {
            return self.value.take();
        };
        let index = self.child(*first).ok()?;
        let child = &mut self.children[index];
        let removed = child.remove(rest.strip_prefix(&*child.label)?)?;
        if child.value.is_none() {
            match child.children.len() {
                0 => {
                    self.children.remove(index);
                }
                1 => {
                    let mut only = child.children.pop().expect("there is one");
                    only.label = [&*child.label, &*only.label].concat().into();
                    *child = only;
                }
                _ => {}
            }
        }
        Some(removed)
    }

    fn walk<'a>(
        &'a self,
        filter: &Filter,
        mut step: Step,
        subject: &mut Vec<u8>,
        visit: &mut dyn FnMut(&[u8], &'a V) -> bool,
    ) -> bool {
        for byte in &self.label {
            match filter.advance(step, *byte) {
                Some(next) => step = next,
                None => return true,
            }
        }
        subject.extend_from_slice(&self.label);
        let mut on = match &self.value {
            Some(value) if filter.is_end(step) => visit(subject, value),
            _ => true,
        };
        for child in &self.children {
            on = on && child.walk(filter, step, subject, visit);
        }
        subject.truncate(subject.len() - self.label.len());
        on
    }

    fn walk_mut(&mut self, subject: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8], &mut V)) {
        subject.extend_from_slice(&self.label);
        if let Some(value) = &mut self.value {
            visit(subject, value);
        }
        for child in &mut self.children {
            child.walk_mut(subject, visit);
        }
        subject.truncate(subject.len() - self.label.len());
    }
}

fn shared_length(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Any sequence of changes leaves what an ordered map would hold, and every filter finds the same.
    #[test]
    fn agrees_with_an_ordered_map() {
        let subject = || "[ab]{1,3}(\\.[ab]{1,2}){0,2}";
        proptest!(|(
            changes in proptest::collection::vec((subject(), any::<bool>(), any::<u8>()), 1..80),
            pattern in "([ab]{1,3}|\\*)(\\.([ab]{1,2}|\\*)){0,2}(\\.>)?|>",
        )| {
            let mut tree = SubjectTree::default();
            let mut model: BTreeMap<Vec<u8>, u8> = BTreeMap::new();
            for (subject, add, value) in changes {
                let subject = subject.into_bytes();
                if add {
                    *tree.get_or_insert_with(&subject, || value) = value;
                    model.insert(subject.clone(), value);
                } else {
                    prop_assert_eq!(tree.remove(&subject), model.remove(&subject));
                }
                prop_assert_eq!(tree.get(&subject), model.get(&subject));
                prop_assert_eq!(tree.get_mut(&subject).copied(), model.get(&subject).copied());
                prop_assert_eq!(tree.len(), model.len());
            }
            let filter = Filter::new(pattern.as_bytes());
            let mut found = Vec::new();
            tree.walk(&filter, &mut |subject, value| {
                found.push((subject.to_vec(), *value));
                true
            });
            let expected: Vec<_> = model.into_iter().filter(|(subject, _)| filter.matches(subject)).collect();
            prop_assert_eq!(found, expected);
        });
    }

    /// A walk ends where the visitor says so.
    #[test]
    fn walk_stops_when_told() {
        let mut tree = SubjectTree::default();
        for subject in ["a.1", "a.2", "a.3", "b"] {
            tree.get_or_insert_with(subject.as_bytes(), || ());
        }
        let mut seen = 0;
        let whole = tree.walk(&Filter::new(b"a.*"), &mut |_, ()| {
            seen += 1;
            seen < 2
        });
        assert!(!whole);
        assert_eq!(seen, 2);
    }
}
