//! Templates in the permissions of a scoped signing key: `{{name()}}` and its like become what the user's claims say.
//!
//! Owns: finding and filling them. Not here: what the permissions then mean.
//!
//! Rules of the peer
//!   several values of a tag make a subject of each, several tags one of each combination
//!   a subject that comes out invalid is left out of an allow list, and refuses the user in a deny list
//!   an allow list that had entries and has none left allows nothing: `>` is denied
//!   in a list with a template, an entry with a queue is no valid subject

use std::fmt;

use pinion_shard::subject::is_valid;

use super::permissions::{Permission, Permissions};

/// Subjects one list may grow to; a user beyond it is refused.
const EXPANSIONS_MAX: usize = 4096;

/// What templates can name.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// `name()`: the user's name.
    pub name: &'a str,
    /// `subject()`: the user's public key.
    pub subject: &'a str,
    /// `account-name()`: the account's name.
    pub account_name: &'a str,
    /// `account-subject()`: the account's public key.
    pub account_subject: &'a str,
    /// `tag(x)`: the values of the user's tags `x:value`.
    pub tags: &'a [String],
    /// `account-tag(x)`: the same of the account's.
    pub account_tags: &'a [String],
}

/// Why the permissions of a scope do not work for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// No such function.
    Unknown {
        /// The entry it stands in.
        entry: String,
        /// The function.
        function: String,
    },
    /// A deny entry wants a tag that is not there.
    NoTag {
        /// The entry.
        entry: String,
        /// The tag.
        tag: String,
    },
    /// A deny entry became no subject.
    BadSubject {
        /// The entry.
        entry: String,
    },
    /// More than [`EXPANSIONS_MAX`] subjects.
    TooMany,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { entry, function } => write!(f, "{entry:?}: there is no function {function:?}"),
            Self::NoTag { entry, tag } => write!(f, "{entry:?}: the claims have no tag {tag:?}"),
            Self::BadSubject { entry } => write!(f, "{entry:?} does not become a subject"),
            Self::TooMany => write!(f, "tags make more than {EXPANSIONS_MAX} subjects"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Fills the templates of a scope for one user.
///
/// # Errors
/// The user must not come in.
pub fn fill(permissions: &Permissions, values: &Values<'_>) -> Result<Permissions, TemplateError> {
    Ok(Permissions {
        subscribe: fill_both(&permissions.subscribe, values)?,
        publish: fill_both(&permissions.publish, values)?,
        response: permissions.response,
    })
}

fn fill_both(written: &Permission, values: &Values<'_>) -> Result<Permission, TemplateError> {
    let allow = written.allow.as_deref();
    let allow = allow
        .map(|list| fill_list(list, values, Invalid::LeftOut))
        .transpose()?;
    let mut deny = fill_list(&written.deny, values, Invalid::Refused)?;
    let had_some = written.allow.as_ref().is_some_and(|list| !list.is_empty());
    if had_some && allow.as_ref().is_some_and(Vec::is_empty) && !deny.iter().any(|entry| entry == ">") {
        deny.push(">".to_owned());
    }
    Ok(Permission { allow, deny })
}

/// What becomes of a subject that is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    LeftOut,
    Refused,
}

fn fill_list(list: &[String], values: &Values<'_>, invalid: Invalid) -> Result<Vec<String>, TemplateError> {
    if !list.iter().any(|entry| next_template(entry, 0).is_some()) {
        return Ok(list.to_vec());
    }
    let mut filled = Vec::with_capacity(list.len());
    for entry in list {
        for subject in fill_entry(entry, values, invalid)? {
            if is_valid(subject.as_bytes()) {
                if filled.len() == EXPANSIONS_MAX {
                    return Err(TemplateError::TooMany);
                }
                filled.push(subject);
            } else if invalid == Invalid::Refused {
                return Err(TemplateError::BadSubject { entry: entry.clone() });
            }
        }
    }
    Ok(filled)
}

/// All subjects an entry becomes.
fn fill_entry(entry: &str, values: &Values<'_>, invalid: Invalid) -> Result<Vec<String>, TemplateError> {
    let mut subjects = vec![entry.to_owned()];
    let mut from = 0;
    while let Some((start, end)) = next_template(entry, from) {
        let template = &entry[start..end];
        from = end;
        if entry[..start].contains(template) {
            continue;
        }
        let with = replacements(entry, template[2..template.len() - 2].trim(), values, invalid)?;
        if subjects.len().saturating_mul(with.len()) > EXPANSIONS_MAX {
            return Err(TemplateError::TooMany);
        }
        subjects = subjects
            .iter()
            .flat_map(|subject| with.iter().map(|value| subject.replace(template, value)))
            .collect();
    }
    Ok(subjects)
}

/// The values of one function. A tag that is not there gives a blank, which makes the subject invalid.
fn replacements(
    entry: &str,
    function: &str,
    values: &Values<'_>,
    invalid: Invalid,
) -> Result<Vec<String>, TemplateError> {
    let one = |value: &str| Ok(vec![value.to_owned()]);
    match function.to_ascii_lowercase().as_str() {
        "name()" => return one(values.name),
        "subject()" => return one(values.subject),
        "account-name()" => return one(values.account_name),
        "account-subject()" => return one(values.account_subject),
        _ => {}
    }
    let Some((tag, tags)) = tag_function(function, values) else {
        return Err(TemplateError::Unknown {
            entry: entry.to_owned(),
            function: function.to_owned(),
        });
    };
    let prefix = format!("{}:", tag.to_lowercase());
    let found: Vec<String> = tags
        .iter()
        .filter_map(|tag| tag.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect();
    match (found.is_empty(), invalid) {
        (false, _) => Ok(found),
        (true, Invalid::LeftOut) => one(" "),
        (true, Invalid::Refused) => Err(TemplateError::NoTag {
            entry: entry.to_owned(),
            tag: tag.to_owned(),
        }),
    }
}

/// The tag and the list of `tag(x)` or `account-tag(x)`.
fn tag_function<'a>(function: &'a str, values: &Values<'a>) -> Option<(&'a str, &'a [String])> {
    [("tag(", values.tags), ("account-tag(", values.account_tags)]
        .into_iter()
        .find_map(|(name, tags)| {
            let head = function.get(..name.len())?;
            let body = function.get(name.len()..)?.strip_suffix(')')?;
            head.eq_ignore_ascii_case(name).then_some((body, tags))
        })
}

/// Where the next `{{...}}` is, from `from` on: two braces, anything but a closing brace, two braces.
fn next_template(entry: &str, from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    loop {
        let start = from + entry.get(from..)?.find("{{")?;
        let body = &entry[start + 2..];
        let length = body.find('}')?;
        if length > 0 && body[length..].starts_with("}}") {
            return Some((start, start + 2 + length + 2));
        }
        from = start + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn check(list: &[&str], invalid: Invalid) -> Result<Vec<String>, TemplateError> {
        let tags = texts(&["dept:sales", "dept:ops", "level:high", "bad:a b"]);
        let account_tags = texts(&["region:eu"]);
        let values = Values {
            name: "joe",
            subject: "UJOE",
            account_name: "acc",
            account_subject: "AACC",
            tags: &tags,
            account_tags: &account_tags,
        };
        fill_list(&texts(list), &values, invalid)
    }

    /// Each function, combinations of tags, and what is left out.
    /// Covers: TestJWTTemplates, TestJWTTemplateGoodTagAfterBadTag
    #[test]
    fn templates_become_subjects() {
        for (list, expected) in [
            (&["a.b", "c d"][..], &["a.b", "c d"][..]),
            (&["x.{{name()}}", "c d"], &["x.joe"]),
            (&["{{ Name() }}.{{name()}}"], &["joe.joe"]),
            (
                &["{{subject()}}.{{account-name()}}.{{account-subject()}}"],
                &["UJOE.acc.AACC"],
            ),
            (&["{{tag(dept)}}"], &["sales", "ops"]),
            (&["{{tag(DEPT)}}.x"], &["sales.x", "ops.x"]),
            (
                &["{{tag(dept)}}.{{tag(level)}}.{{account-tag(region)}}"],
                &["sales.high.eu", "ops.high.eu"],
            ),
            (&["{{tag(dept)}}.{{tag(dept)}}"], &["sales.sales", "ops.ops"]),
            (&["{{tag(none)}}", "{{name()}}"], &["joe"]),
            (&["{{tag(bad)}}"], &[]),
            (&["{{}}.{{name()}}"], &["{{}}.joe"]),
            (&["{{name()}"], &["{{name()}"]),
        ] {
            assert_eq!(check(list, Invalid::LeftOut), Ok(texts(expected)), "{list:?}");
        }
    }

    /// A deny that protects nothing refuses the user.
    #[test]
    fn a_deny_list_is_whole_or_none() {
        assert_eq!(
            check(&["x.{{tag(level)}}"], Invalid::Refused),
            Ok(texts(&["x.high"]))
        );
        for list in ["{{tag(none)}}", "{{tag(bad)}}", "{{other()}}"] {
            assert!(check(&[list], Invalid::Refused).is_err(), "{list}");
        }
        assert!(check(&["{{other()}}"], Invalid::LeftOut).is_err());
    }

    /// An allow list of which nothing is left allows nothing.
    #[test]
    fn nothing_left_is_nothing_allowed() {
        let values = Values {
            name: "",
            subject: "",
            account_name: "",
            account_subject: "",
            tags: &[],
            account_tags: &[],
        };
        let written = Permission {
            allow: Some(texts(&["{{tag(x)}}"])),
            deny: Vec::new(),
        };
        let filled = fill_both(&written, &values).expect("no deny list");
        assert_eq!(filled.deny, [">"]);
        assert_eq!(filled.allow, Some(Vec::new()));
    }

    /// More subjects than anybody needs are refused before they are made.
    /// Covers: TestProcessUserPermissionsTemplateRejectsExcessiveTagExpansions
    #[test]
    fn expansions_are_bounded() {
        let tags: Vec<String> = (0..17).map(|index| format!("t:{index}")).collect();
        let values = Values {
            name: "",
            subject: "",
            account_name: "",
            account_subject: "",
            tags: &tags,
            account_tags: &tags,
        };
        let list = texts(&["{{tag(t)}}.{{account-tag(t)}}.{{ tag(t) }}"]);
        assert_eq!(
            fill_list(&list, &values, Invalid::LeftOut),
            Err(TemplateError::TooMany)
        );
    }
}
