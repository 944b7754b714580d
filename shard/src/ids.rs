//! Numbers that must not be mixed up.

/// A shard of this server, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// As an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The shard of an index below [`crate::limits::SHARDS_MAX`].
    pub fn from_index(index: usize) -> Self {
        assert!(
            index < crate::limits::SHARDS_MAX,
            "at most {} shards",
            crate::limits::SHARDS_MAX
        );
        Self(u16::try_from(index).expect("checked in the line above"))
    }
}

/// An account of this server. Never used again after the account is gone; an unknown one at the target
/// of a message is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

impl AccountId {
    /// `$G`, where users without an account live.
    pub const GLOBAL: AccountId = AccountId(1);
    /// `$SYS`.
    pub const SYSTEM: AccountId = AccountId(2);
}

/// A connection of this server, unique while the process lives. JSON: `"cid"`, `"client_id"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);
