//! The requests of the API, as far as they are not a whole configuration.

use pinion_shard::io::WallTime;

use crate::json::{decode_struct, Context, Decode, Value};

/// `STREAM.NAMES`, `STREAM.LIST`: a page, perhaps of those that take a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamsRequest {
    pub(super) offset: i64,
    pub(super) subject: String,
}

/// `STREAM.INFO`: what more to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InfoRequest {
    pub(super) offset: i64,
    pub(super) deleted_details: bool,
    pub(super) subjects_filter: String,
}

/// The peer keeps the offset in a struct of its own inside; its name is in the errors.
fn decode_paged(
    value: &Value,
    context: &mut Context,
    offset: &mut i64,
    own: &mut dyn FnMut(&str, &Value, &mut Context) -> bool,
) {
    let Value::Object(members) = value else {
        if *value != Value::Null {
            context.mismatch_root(value);
        }
        return;
    };
    for (key, value) in members {
        if key.eq_ignore_ascii_case("offset") {
            context.within("ApiPagedRequest", |context| {
                context.within("offset", |context| {
                    context.kind = Some("int");
                    offset.decode(value, context);
                });
            });
        } else if !own(key, value, context) {
            context.unknown(key);
        }
    }
}

impl Decode for StreamsRequest {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        let subject = &mut self.subject;
        decode_paged(value, context, &mut self.offset, &mut |key, value, context| {
            let known = key.eq_ignore_ascii_case("subject");
            if known {
                context.within("subject", |context| subject.decode(value, context));
            }
            known
        });
    }
}

impl Decode for InfoRequest {
    fn decode(&mut self, value: &Value, context: &mut Context) {
        let (details, filter) = (&mut self.deleted_details, &mut self.subjects_filter);
        decode_paged(value, context, &mut self.offset, &mut |key, value, context| {
            if key.eq_ignore_ascii_case("deleted_details") {
                context.within("deleted_details", |context| details.decode(value, context));
            } else if key.eq_ignore_ascii_case("subjects_filter") {
                context.within("subjects_filter", |context| filter.decode(value, context));
            } else {
                return false;
            }
            true
        });
    }
}

/// `STREAM.PURGE`: which messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PurgeRequest {
    pub(super) seq: u64,
    pub(super) filter: String,
    pub(super) keep: u64,
}

decode_struct!(PurgeRequest, "JSApiStreamPurgeRequest", { "seq" => seq, "filter" => filter, "keep" => keep });

/// `STREAM.MSG.DELETE`: which message goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeleteRequest {
    pub(super) seq: u64,
    pub(super) no_erase: bool,
}

decode_struct!(DeleteRequest, "JSApiMsgDeleteRequest", { "seq" => seq, "no_erase" => no_erase });

/// `STREAM.MSG.GET` and `DIRECT.GET`: which messages to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GetRequest {
    pub(super) seq: u64,
    pub(super) last_by_subj: String,
    pub(super) next_by_subj: String,
    pub(super) batch: i64,
    pub(super) max_bytes: i64,
    pub(super) start_time: Option<WallTime>,
    pub(super) multi_last: Vec<String>,
    pub(super) up_to_seq: u64,
    pub(super) up_to_time: Option<WallTime>,
    pub(super) no_hdr: bool,
}

decode_struct!(GetRequest, "JSApiMsgGetRequest", {
    "seq" => seq, "last_by_subj" => last_by_subj, "next_by_subj" => next_by_subj, "batch" => batch: "int",
    "max_bytes" => max_bytes: "int", "start_time" => start_time, "multi_last" => multi_last, "up_to_seq" => up_to_seq,
    "up_to_time" => up_to_time, "no_hdr" => no_hdr,
});
