//! Subjects as claims hold them: the reference library's own, looser rules for what is a subject and what lies in what.
//!
//! Owns: those rules. They decide which claims are taken at all; what the router does with a subject follows
//! `pinion_shard::subject`, which is stricter. Here `foo.>` lies within `foo.*`, and `a>b` is a subject.

use super::error::Issues;

/// Notes at `path` what keeps this from being a subject: nothing in it, blanks, or an empty token.
pub(super) fn check(subject: &str, path: &str, issues: &mut Issues) {
    if subject.is_empty() {
        issues.error(path, "a subject is needed here");
        return;
    }
    if subject.contains(' ') {
        issues.error(path, format!("subject {subject:?} has a blank in it"));
    }
    if subject.starts_with('.') || subject.ends_with('.') {
        issues.error(path, format!("subject {subject:?} begins or ends with a dot"));
    }
    if subject.contains("..") {
        issues.error(path, format!("subject {subject:?} has an empty token"));
    }
}

/// Whether a subject has a wildcard token.
pub(super) fn has_wildcards(subject: &str) -> bool {
    subject.split('.').any(|token| token == "*") || ends_in_rest(subject)
}

/// Whether `>` is the last token.
pub(super) fn ends_in_rest(subject: &str) -> bool {
    subject == ">" || subject.ends_with(".>")
}

/// Whether everything of `inner` lies in `outer`.
pub(super) fn is_contained_in(inner: &str, outer: &str) -> bool {
    let inner: Vec<&str> = inner.split('.').collect();
    let outer: Vec<&str> = outer.split('.').collect();
    let open = outer.last() == Some(&">");
    if inner.len() < outer.len() || (inner.len() > outer.len() && !open) {
        return false;
    }
    let last = outer.len() - 1;
    for (at, (&mine, &theirs)) in inner.iter().zip(&outer).enumerate() {
        if at == last && theirs == ">" {
            return true;
        }
        if theirs != mine && theirs != "*" {
            return false;
        }
    }
    true
}

/// The number of a reference token such as `$2`.
fn reference(token: &str) -> Option<i64> {
    let digits = token.strip_prefix('$')?;
    digits.parse().ok()
}

/// Notes what keeps `local` from renaming `from`: it must use each `*` of `from` once, by `*` or by `$1`, `$2` and so on.
pub(super) fn check_renaming(local: &str, from: &str, path: &str, issues: &mut Issues) {
    check(local, path, issues);
    if ends_in_rest(local) != ends_in_rest(from) {
        issues.error(
            path,
            format!("{local:?} and {from:?} must both end in `>`, or neither"),
        );
    }
    let wildcards = from.split('.').filter(|&token| token == "*").count();
    let mut used = 0;
    for token in local.split('.') {
        match reference(token) {
            Some(index) if index > i64::try_from(wildcards).unwrap_or(i64::MAX) => issues.error(
                path,
                format!("{local:?} refers to wildcard {index}, {from:?} has {wildcards}"),
            ),
            Some(_) => used += 1,
            None => used += usize::from(token == "*"),
        }
    }
    if used != wildcards {
        issues.error(
            path,
            format!("{local:?} uses {used} of the {wildcards} wildcards of {from:?}"),
        );
    }
}

/// A renaming subject with `*` in place of its references.
pub(super) fn renaming_as_pattern(local: &str) -> String {
    let tokens: Vec<&str> = local
        .split('.')
        .map(|token| if reference(token).is_some() { "*" } else { token })
        .collect();
    tokens.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containment_follows_the_reference_library() {
        for (inner, outer, expected) in [
            ("foo.bar", "foo.*", true),
            ("foo.*", "foo.bar", false),
            ("foo.>", "foo.*", true),
            ("foo.bar.baz", "foo.>", true),
            ("foo", "foo.>", false),
            (">", ">", true),
            ("foo.bar.baz", "foo.*", false),
            ("", "", true),
        ] {
            assert_eq!(is_contained_in(inner, outer), expected, "{inner} in {outer}");
        }
    }

    #[test]
    fn a_renaming_uses_each_wildcard_once() {
        for (local, from, good) in [
            ("a.*", "b.*", true),
            ("a.$1", "b.*", true),
            ("$2.$1", "b.*.*", true),
            ("a.$2", "b.*", false),
            ("a", "b.*", false),
            ("a.*.>", "b.*.>", true),
            ("a.*", "b.*.>", false),
            ("", "b", false),
        ] {
            let mut issues = Issues::default();
            check_renaming(local, from, "x", &mut issues);
            assert_eq!(issues.all().is_empty(), good, "{local} from {from}: {issues:?}");
        }
        assert_eq!(renaming_as_pattern("$1.a.$x.*"), "*.a.$x.*");
    }
}
