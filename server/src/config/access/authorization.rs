//! The `authorization` block: the one login for everybody, or users of the account `$G`.

use std::time::Duration;

use super::{permissions, users};
use crate::config::block::{Field, Reader};
use crate::config::raw::RawOptions;
use crate::config::value::{Map, Value};
use crate::log::Redacted;
use pinion_shard::proto::duration::parse_duration_ns;

/// Above this the peer suspects a mistake and warns.
const TIMEOUT_USUAL_MAX: f64 = 60.0;

/// Takes over the block.
pub(super) fn store(reader: &mut Reader<'_>, map: &Map, raw: &mut RawOptions) {
    let mut default_permissions = None;
    raw.authorization_users = Some(Vec::new());
    for field in reader.fields("authorization", map) {
        let Field { written, node, .. } = field;
        match field.name() {
            "user" => raw.user = reader.text(written, node),
            "password" => raw.password = reader.text(written, node).map(Redacted::new),
            "token" => raw.token = reader.text(written, node).map(Redacted::new),
            "timeout" => raw.auth_timeout = timeout(reader, &field),
            "users" => {
                raw.authorization_users =
                    Some(users::read(reader, "authorization.users[]", None, written, node));
            }
            "default_permissions" => {
                default_permissions = permissions::read(reader, field.key.path, written, node);
            }
            name => unreachable!("authorization.{name} is effective but nothing stores it"),
        }
    }
    users::apply_default(
        raw.authorization_users.iter_mut().flatten(),
        default_permissions.as_ref(),
    );
}

/// Seconds, or a duration. Zero asks for the default.
fn timeout(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Duration> {
    let at = &field.node.at;
    #[expect(clippy::cast_precision_loss, reason = "so many seconds are refused below")]
    let (seconds, shown) = match &field.node.value {
        Value::Integer(seconds) => (*seconds as f64, seconds.to_string()),
        Value::Float(seconds) => (*seconds, seconds.to_string()),
        Value::Text(text) => match parse_duration_ns(text) {
            Ok(duration_ns) => (duration_ns as f64 / 1e9, text.to_string()),
            Err(error) => {
                reader.error(
                    at,
                    format!("error parsing authorization config, 'timeout' {error}"),
                );
                return None;
            }
        },
        _ => {
            reader.error(at, "error parsing authorization config, 'timeout' wrong type");
            return None;
        }
    };
    if seconds > TIMEOUT_USUAL_MAX {
        let text = format!(
            "invalid use of field {:?}: timeout of {shown} ({seconds:.6} seconds) is high, consider keeping it under 60 seconds. \
             possibly caused by unquoted duration; use '1m' instead of 1m, for example",
            field.written
        );
        reader.warning(at, text);
    }
    let timeout = Duration::try_from_secs_f64(seconds).ok();
    if timeout.is_none() {
        reader.error(at, format!("timeout of {shown} is no time to wait"));
    }
    timeout
}
