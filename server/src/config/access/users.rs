//! Lists of users, in `authorization` and in accounts.

use std::sync::Arc;

use nkeys::KeyPairType;

use super::{permissions, ConnectionType, ConnectionTypes, Credentials, PermissionSpec, User};
use crate::config::block::{Field, Reader, Written};
use crate::config::value::Node;
use crate::log::Redacted;

/// The users of a list whose keys stand at `path`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    path: &str,
    account: Option<&Arc<str>>,
    written: &str,
    node: &Node,
) -> Vec<Written<User>> {
    let items = reader.list(written, node).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| {
            let user = read_one(reader, path, account, item)?;
            Some(Written {
                value: user,
                at: item.at.clone(),
            })
        })
        .collect()
}

fn read_one(reader: &mut Reader<'_>, path: &str, account: Option<&Arc<str>>, item: &Node) -> Option<User> {
    let map = reader.map("an entry of users", item)?;
    let (mut name, mut password, mut nkey) = (None, None, None);
    let mut user_permissions = None;
    let mut connection_types = ConnectionTypes::ALL;
    for field in reader.fields(path, map) {
        let Field { written, node, .. } = field;
        match field.name() {
            "user" => name = reader.text(written, node),
            "password" => password = reader.text(written, node),
            "nkey" => nkey = reader.text(written, node),
            "permissions" => {
                user_permissions = permissions::read(reader, field.key.path, written, node).map(Arc::new);
            }
            "allowed_connection_types" => connection_types = read_types(reader, written, node),
            name => unreachable!("{path}.{name} is effective but nothing stores it"),
        }
    }
    let [name, password, nkey] = [name, password, nkey].map(|text| text.filter(|text| !text.is_empty()));
    let credentials = match (nkey, name) {
        (None, None) => {
            reader.error(&item.at, "User entry requires a user");
            return None;
        }
        (Some(_), Some(_)) => {
            reader.error(&item.at, "Nkey users do not take usernames or passwords");
            return None;
        }
        (Some(_), None) if password.is_some() => {
            reader.error(&item.at, "Nkey users do not take usernames or passwords");
            return None;
        }
        (Some(nkey), None) if !is_public_key(&nkey, &KeyPairType::User) => {
            reader.error(&item.at, "Not a valid public nkey for a user");
            return None;
        }
        (Some(nkey), None) => Credentials::Nkey(nkey),
        (None, Some(user)) => Credentials::Password {
            user,
            password: Redacted::new(password.unwrap_or_default()),
        },
    };
    Some(User {
        credentials,
        account: account.cloned(),
        permissions: user_permissions,
        connection_types,
    })
}

/// None of them stands for all, as at the peer.
fn read_types(reader: &mut Reader<'_>, written: &str, node: &Node) -> ConnectionTypes {
    let mut types = ConnectionTypes::NONE;
    for name in reader.texts(written, node).unwrap_or_default() {
        match ConnectionType::from_name(&name) {
            Some(kind) => types = types.with(kind),
            None => reader.error(
                &name.at,
                format!("invalid connection types [{:?}]", name.to_uppercase()),
            ),
        }
    }
    if types == ConnectionTypes::NONE {
        return ConnectionTypes::ALL;
    }
    types
}

/// Gives the default to users that have no permissions of their own.
pub(super) fn apply_default<'a>(
    users: impl Iterator<Item = &'a mut Written<User>>,
    default: Option<&PermissionSpec>,
) {
    let Some(default) = default.cloned().map(Arc::new) else {
        return;
    };
    for user in users {
        user.value.permissions.get_or_insert_with(|| Arc::clone(&default));
    }
}

/// Whether the text is a public key of this kind, its checksum included.
pub(super) fn is_public_key(text: &str, kind: &KeyPairType) -> bool {
    nkeys::KeyPair::from_public_key(text).is_ok_and(|key| key.key_pair_type() == *kind)
}
