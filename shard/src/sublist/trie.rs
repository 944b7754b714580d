//! The wildcard subscriptions: a trie over tokens, with chains of single children folded into one node.
//!
//! Owns: patterns and who is subscribed to each. Not here: subjects without wildcards (the literal table), caching.
//!
//! ```text
//! _INBOX -+- k2Xb.*            a node's path is one or more tokens; its first token names it at its parent
//!         +- 9fQa.>
//! *.created
//! ```
//!
//! Invariants
//!   no two children of a node share their first token; `*` and `>` have places of their own
//!   a node has subscribers, or at least two children
//!   a path token `*` or `>` is a wildcard, and `>` is the last token of a pattern
//!   a node's number does not change while it has subscribers

use hashbrown::HashTable;

use super::hash::Seed;
use super::slab::{Id, Slab, NONE};
use super::subscribers::Subscribers;
use super::Entry;
use crate::subject::wildcard::{advance, Advance};
use crate::subject::{first_token, ANY_TOKEN, REST, SEPARATOR};

/// The parent of the nodes at the top.
const ROOT: Id = NONE;

#[derive(Debug)]
pub(super) struct Trie<E: Entry> {
    nodes: Slab<Node<E>>,
    top: Children,
    seed: Seed,
}

#[derive(Debug)]
struct Node<E: Entry> {
    path: Box<[u8]>,
    subscribers: Subscribers<E>,
    children: Option<Box<Children>>,
    parent: Id,
}

#[derive(Debug)]
struct Children {
    /// By the hash of the first token.
    literal: HashTable<Id>,
    any: Id,
    rest: Id,
}

/// A place still to visit: a node, and where in the subject its path begins.
pub(super) type Visit = (Id, usize);

impl<E: Entry> Trie<E> {
    pub(super) fn new(seed: Seed) -> Trie<E> {
        Trie {
            nodes: Slab::new(),
            top: Children::new(),
            seed,
        }
    }

    /// The node of a valid pattern, made when missing. The caller adds a subscriber to it.
    pub(super) fn insert(&mut self, pattern: &[u8]) -> Id {
        let (mut parent, mut rest) = (ROOT, pattern);
        loop {
            let Some(id) = self.child(parent, first_token(rest)) else {
                return self.add_leaf(parent, rest);
            };
            let path = &self.nodes[id].path;
            let common = common_tokens(path, rest);
            parent = if common == path.len() {
                id
            } else {
                self.split(id, common)
            };
            if common == rest.len() {
                return parent;
            }
            rest = &rest[common + 1..];
        }
    }

    pub(super) fn find(&self, pattern: &[u8]) -> Option<Id> {
        let (mut parent, mut rest) = (ROOT, pattern);
        loop {
            let id = self.child(parent, first_token(rest))?;
            let path = &*self.nodes[id].path;
            rest = rest.strip_prefix(path)?;
            if rest.is_empty() {
                return Some(id);
            }
            rest = rest.strip_prefix(&[SEPARATOR])?;
            parent = id;
        }
    }

    pub(super) fn subscribers(&self, id: Id) -> &Subscribers<E> {
        &self.nodes[id].subscribers
    }

    pub(super) fn subscribers_mut(&mut self, id: Id) -> &mut Subscribers<E> {
        &mut self.nodes[id].subscribers
    }

    /// Takes a node out, or folds it into its child, after its last subscriber left.
    pub(super) fn prune(&mut self, id: Id) {
        let node = &self.nodes[id];
        if !node.subscribers.is_empty() {
            return;
        }
        let parent = node.parent;
        match node.children.as_ref().map(|children| children.only()) {
            None => {
                self.unlink(id);
                self.nodes.remove(id);
                if parent != ROOT {
                    let node = &mut self.nodes[parent];
                    if node.children.as_ref().is_some_and(|children| children.is_empty()) {
                        node.children = None;
                    }
                    if node.subscribers.is_empty() {
                        self.prune(parent);
                    }
                }
            }
            Some(Some(child)) => self.fold_into(id, child),
            Some(None) => {}
        }
    }

    /// Shows `visit` the subscribers of every pattern that matches the subject, until it returns true.
    /// Each node is visited at most once; `pending` is scratch space.
    pub(super) fn walk<'a>(
        &'a self,
        subject: &[u8],
        pending: &mut Vec<Visit>,
        mut visit: impl FnMut(&'a Subscribers<E>) -> bool,
    ) -> bool {
        pending.clear();
        if self.descend(&self.top, subject, 0, pending, &mut visit) {
            return true;
        }
        while let Some((id, at)) = pending.pop() {
            let node = &self.nodes[id];
            match advance(&node.path, &subject[at..]) {
                Advance::Differs => {}
                Advance::Matched => {
                    if !node.subscribers.is_empty() && visit(&node.subscribers) {
                        return true;
                    }
                }
                Advance::Continues(further) => {
                    if let Some(children) = &node.children {
                        if self.descend(children, subject, at + further, pending, &mut visit) {
                            return true;
                        }
                    }
                }
            }
        }
        false
    }

    /// The first pattern with subscribers at or after node `from`, written into `pattern`.
    pub(super) fn next_from(&self, from: Id, pattern: &mut Vec<u8>) -> Option<(Id, &Subscribers<E>)> {
        let mut from = from;
        loop {
            let (id, node) = self.nodes.next_used(from)?;
            if node.subscribers.is_empty() {
                from = id + 1;
                continue;
            }
            self.write_pattern(id, pattern);
            return Some((id, &node.subscribers));
        }
    }

    #[inline]
    fn descend<'a>(
        &'a self,
        children: &Children,
        subject: &[u8],
        at: usize,
        pending: &mut Vec<Visit>,
        visit: &mut impl FnMut(&'a Subscribers<E>) -> bool,
    ) -> bool {
        if children.rest != NONE && visit(&self.nodes[children.rest].subscribers) {
            return true;
        }
        if children.any != NONE {
            pending.push((children.any, at));
        }
        if !children.literal.is_empty() {
            if let Some(id) = self.literal_child(children, first_token(&subject[at..])) {
                pending.push((id, at));
            }
        }
        false
    }

    fn children(&self, parent: Id) -> Option<&Children> {
        if parent == ROOT {
            return Some(&self.top);
        }
        self.nodes[parent].children.as_deref()
    }

    fn child(&self, parent: Id, token: &[u8]) -> Option<Id> {
        let children = self.children(parent)?;
        match token {
            [ANY_TOKEN] => Some(children.any).filter(|&id| id != NONE),
            [REST] => Some(children.rest).filter(|&id| id != NONE),
            _ => self.literal_child(children, token),
        }
    }

    #[inline]
    fn literal_child(&self, children: &Children, token: &[u8]) -> Option<Id> {
        let found = children.literal.find(self.seed.bytes(token), |&id| {
            let path = &self.nodes[id].path;
            path.starts_with(token) && path.get(token.len()).is_none_or(|&next| next == SEPARATOR)
        });
        found.copied()
    }

    fn add_leaf(&mut self, parent: Id, path: &[u8]) -> Id {
        let node = Node {
            path: Box::from(path),
            subscribers: Subscribers::None,
            children: None,
            parent,
        };
        let id = self.nodes.insert(node);
        self.link(id);
        id
    }

    /// Cuts a node's path after `common` bytes: a new node takes the first part and has the old one as its child.
    fn split(&mut self, id: Id, common: usize) -> Id {
        let node = &self.nodes[id];
        assert!(node.path[common] == SEPARATOR);
        let (path, parent) = (Box::from(&node.path[..common]), node.parent);
        let below = Box::from(&node.path[common + 1..]);
        let upper = self.nodes.insert(Node {
            path,
            subscribers: Subscribers::None,
            children: None,
            parent,
        });
        self.relink(id, upper);
        let node = &mut self.nodes[id];
        node.path = below;
        node.parent = upper;
        self.link(id);
        upper
    }

    /// Joins a node without subscribers and its only child, which keeps its number.
    fn fold_into(&mut self, id: Id, child: Id) {
        let path = [&self.nodes[id].path, &[SEPARATOR][..], &self.nodes[child].path].concat();
        self.relink(id, child);
        let node = self.nodes.remove(id);
        let child = &mut self.nodes[child];
        child.path = path.into_boxed_slice();
        child.parent = node.parent;
    }

    /// Enters a node at its parent.
    fn link(&mut self, id: Id) {
        let parent = self.nodes[id].parent;
        let mut children = self.take_children(parent);
        match first_token(&self.nodes[id].path) {
            [ANY_TOKEN] => children.any = id,
            [REST] => children.rest = id,
            token => {
                let hash_of = |&id: &Id| self.seed.bytes(first_token(&self.nodes[id].path));
                children
                    .literal
                    .insert_unique(self.seed.bytes(token), id, hash_of);
            }
        }
        self.put_children(parent, children);
    }

    /// Puts another node in the place of one at its parent; their paths start with the same token.
    fn relink(&mut self, id: Id, other: Id) {
        let parent = self.nodes[id].parent;
        let mut children = self.take_children(parent);
        match first_token(&self.nodes[id].path) {
            [ANY_TOKEN] => children.any = other,
            [REST] => children.rest = other,
            token => {
                let slot = children
                    .literal
                    .find_mut(self.seed.bytes(token), |&found| found == id);
                *slot.expect("a node is entered at its parent") = other;
            }
        }
        self.put_children(parent, children);
    }

    fn unlink(&mut self, id: Id) {
        let parent = self.nodes[id].parent;
        let mut children = self.take_children(parent);
        match first_token(&self.nodes[id].path) {
            [ANY_TOKEN] => children.any = NONE,
            [REST] => children.rest = NONE,
            token => {
                let slot = children
                    .literal
                    .find_entry(self.seed.bytes(token), |&found| found == id);
                slot.expect("a node is entered at its parent").remove();
                super::shrink(&mut children.literal, |&id| {
                    self.seed.bytes(first_token(&self.nodes[id].path))
                });
            }
        }
        self.put_children(parent, children);
    }

    fn take_children(&mut self, parent: Id) -> Box<Children> {
        if parent == ROOT {
            return Box::new(std::mem::replace(&mut self.top, Children::new()));
        }
        self.nodes[parent]
            .children
            .take()
            .unwrap_or_else(|| Box::new(Children::new()))
    }

    fn put_children(&mut self, parent: Id, children: Box<Children>) {
        if parent == ROOT {
            self.top = *children;
        } else {
            self.nodes[parent].children = Some(children);
        }
    }

    fn write_pattern(&self, id: Id, pattern: &mut Vec<u8>) {
        let mut chain = vec![id];
        let mut at = id;
        while self.nodes[at].parent != ROOT {
            at = self.nodes[at].parent;
            chain.push(at);
        }
        pattern.clear();
        for &id in chain.iter().rev() {
            if !pattern.is_empty() {
                pattern.push(SEPARATOR);
            }
            pattern.extend_from_slice(&self.nodes[id].path);
        }
    }

    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        self.nodes.used()
    }

    /// Checks the invariants at the top of this file.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut from = 0;
        while let Some((id, node)) = self.nodes.next_used(from) {
            let children = node.children.as_ref().map_or(0, |children| children.count());
            assert!(
                !node.subscribers.is_empty() || children >= 2,
                "node {id} is of no use"
            );
            assert!(node.children.is_none() || children > 0);
            assert_eq!(self.child(node.parent, first_token(&node.path)), Some(id));
            from = id + 1;
        }
    }
}

impl Children {
    fn new() -> Children {
        Children {
            literal: HashTable::new(),
            any: NONE,
            rest: NONE,
        }
    }

    fn count(&self) -> usize {
        self.literal.len() + usize::from(self.any != NONE) + usize::from(self.rest != NONE)
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The only child, when there is just one.
    fn only(&self) -> Option<Id> {
        if self.count() != 1 {
            return None;
        }
        let named = [self.any, self.rest].into_iter().find(|&id| id != NONE);
        named.or_else(|| self.literal.iter().next().copied())
    }
}

/// How many bytes of whole tokens two paths share at their start, the separator after them not counted.
fn common_tokens(one: &[u8], other: &[u8]) -> usize {
    let equal = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let ends_token = |path: &[u8]| path.get(equal).is_none_or(|&next| next == SEPARATOR);
    if ends_token(one) && ends_token(other) {
        return equal;
    }
    let cut = one[..equal].iter().rposition(|&byte| byte == SEPARATOR);
    cut.expect("paths are compared after their first token was found equal")
}
