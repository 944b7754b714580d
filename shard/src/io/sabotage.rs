//! Deliberate bugs, one per invariant of the mesh and of the storage engine: they prove that the simulation's
//! checkers see them.
//!
//! Built only with `--cfg sabotage`; otherwise [`super::Io::sabotaged`] is the constant `false` and no hook is
//! left in the code. A simulated world has at most one of them on.

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// One interest lane is not drained though it has news.
    SkipALane,
    /// Sockets are written before interest left.
    FlushBeforeInterest,
    /// Data leaves before interest.
    DataBeforeInterest,
    /// What a socket brought is routed on old interest.
    NoDrainBeforeRoute,
    /// A full interest lane holds nothing back.
    IgnoreTheHold,
    /// A writer that waited for its socket goes on while the shard is held.
    WriteWhileHeld,
    /// A hand-on is counted as sent and is not.
    DropAHandOn,
    /// A queue message is never handed on to its origin.
    NeverHandBack,
    /// A hand-on is sent twice.
    DoubleDeliveryOnHandOn,
    /// A group gets a message twice.
    ServeTwoMembers,
    /// Credit of a batch does not return.
    LoseCredit,
    /// A group's weight is told one too high.
    WrongWeight,
    /// The end of interest is not told.
    ForgetUnsub,
    /// The target is told before the batch is in the lane.
    WakeBeforePublish,
    /// A shard goes to sleep without looking at its lanes again.
    SleepWithoutLooking,
    /// Room in an interest lane is not told.
    ForgetRoom,
    /// A batch that found its lane full is forgotten until the next.
    ForgetTheOpenBatch,
    /// What waited for credit is lost.
    LoseTheBacklog,
    /// An auto-unsubscribe ends one delivery late.
    CountOneMore,
    /// "Nobody here" is told though somebody was.
    AnswerThoughDelivered,
    /// "Nobody here" is not told.
    ForgetToAnswer,
    /// "Nobody here" is told for one part of a request though several ended.
    AnswerForOnePart,
    /// Who takes what was handed on does not know that its origin waits for word.
    HandOnWithoutTheRequest,
    /// A connection that was closed while it waited for credit is served once more.
    ServeTheClosed,
    /// A closed connection keeps its subscriptions.
    KeepSubscriptions,
    /// What a client may not publish is published.
    LeakAPermission,
    /// New rules reach the shard that was told of them and no other.
    ApplyRulesOnOneShardOnly,
    /// New rules count as in force before every shard obeys them.
    AnswerReloadEarly,
    /// A commit is acknowledged before its write returned.
    AckBeforeSync,
    /// A start writes under the epoch of the one before.
    KeepTheEpoch,
    /// A damaged commit always ends the log.
    CutRotAsTear,
    /// What recovery read is believed though it may be in the disk's cache only.
    TrustTheCache,
}

impl Sabotage {
    /// Those of the mesh.
    pub const MESH: [Sabotage; 28] = [
        Sabotage::SkipALane,
        Sabotage::FlushBeforeInterest,
        Sabotage::DataBeforeInterest,
        Sabotage::NoDrainBeforeRoute,
        Sabotage::IgnoreTheHold,
        Sabotage::WriteWhileHeld,
        Sabotage::DropAHandOn,
        Sabotage::NeverHandBack,
        Sabotage::DoubleDeliveryOnHandOn,
        Sabotage::ServeTwoMembers,
        Sabotage::LoseCredit,
        Sabotage::WrongWeight,
        Sabotage::ForgetUnsub,
        Sabotage::WakeBeforePublish,
        Sabotage::SleepWithoutLooking,
        Sabotage::ForgetRoom,
        Sabotage::ForgetTheOpenBatch,
        Sabotage::LoseTheBacklog,
        Sabotage::CountOneMore,
        Sabotage::AnswerThoughDelivered,
        Sabotage::ForgetToAnswer,
        Sabotage::AnswerForOnePart,
        Sabotage::HandOnWithoutTheRequest,
        Sabotage::ServeTheClosed,
        Sabotage::KeepSubscriptions,
        Sabotage::LeakAPermission,
        Sabotage::ApplyRulesOnOneShardOnly,
        Sabotage::AnswerReloadEarly,
    ];

    /// Those of the storage engine.
    pub const STORAGE: [Sabotage; 4] = [
        Sabotage::AckBeforeSync,
        Sabotage::KeepTheEpoch,
        Sabotage::CutRotAsTear,
        Sabotage::TrustTheCache,
    ];
}
