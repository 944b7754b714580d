//! The tokens and keys of `tests/fixtures/jwt`, by name, for tests.

use nkeys::KeyPair;

/// One row of `tokens.tsv`.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) token: String,
    /// `good`, `blocked` or `refused`.
    pub(crate) verdict: &'static str,
}

/// All tokens.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    lines(include_str!("../../../../tests/fixtures/jwt/tokens.tsv")).map(|[name, token, verdict]| Row {
        name,
        token: token.replace("\\n", "\n"),
        verdict,
    })
}

/// The token of this name.
pub(crate) fn token(name: &str) -> String {
    let row = rows().find(|row| row.name == name);
    row.unwrap_or_else(|| panic!("no token {name:?}")).token
}

/// The public key of this name.
pub(crate) fn public(name: &str) -> &'static str {
    key_row(name)[1]
}

/// The pair of this name.
pub(crate) fn pair(name: &str) -> KeyPair {
    KeyPair::from_seed(key_row(name)[2]).expect("fixtures are seeds")
}

fn key_row(name: &str) -> [&'static str; 3] {
    lines(include_str!("../../../../tests/fixtures/jwt/keys.tsv"))
        .find(|row| row[0] == name)
        .unwrap_or_else(|| panic!("no key {name:?}"))
}

fn lines(text: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        columns.try_into().expect("three columns")
    })
}
