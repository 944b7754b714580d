//! A simulated disk: files in memory, a volatile cache above what is durable, and the faults of real ones.
//!
//! Owns: files and names of one host, now and as they will be after a power cut. Not here: how likely a
//! fault is (`plan`).
//!
//! What is modelled
//!   bytes: each file has what reads see and what is on the medium, in pieces of 4 KiB; a power cut decides
//!     for each piece that differs: lost, kept, or torn at a sector. A durable write in flight is such a
//!     difference until it returns.
//!   names: creates, renames and removes wait for `sync_dir`; a power cut keeps or loses each, in order.
//!   a failed sync forgets what it did not write: reads still see it, a power cut does not.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::world::World;
use super::SimIo;
use crate::io::disk::{failed, Access, Listed, Opening, Space, PIECE_SIZE};

/// What a medium writes whole.
const SECTOR_SIZE: usize = 512;

/// The disk of one host.
pub(super) struct DiskState {
    capacity: u64,
    inodes: BTreeMap<u64, Inode>,
    inodes_made: u64,
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    /// Changes of names that no `sync_dir` covered yet, oldest first.
    unsynced_names: Vec<NameChange>,
    /// Power cuts so far: a file opened before one is not usable after it.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Dir,
    File(u64),
}

/// One step of a directory, atomic: names that go, names that come.
struct NameChange {
    removed: Option<(PathBuf, Entry)>,
    added: Option<(PathBuf, Entry)>,
}

impl NameChange {
    fn touches(&self, dir: &Path) -> bool {
        [&self.removed, &self.added]
            .into_iter()
            .flatten()
            .any(|(path, _)| path.parent() == Some(dir))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        if let Some((path, entry)) = &self.removed {
            if names.get(path) == Some(entry) {
                names.remove(path);
            }
        }
        if let Some((path, entry)) = &self.added {
            names.insert(path.clone(), *entry);
        }
    }
}

#[derive(Default)]
struct Inode {
    /// What reads see.
    bytes: Vec<u8>,
    /// What is on the medium.
    durable: Vec<u8>,
    /// Pieces that a power cut decides about.
    unsynced: BTreeSet<usize>,
    /// The size differs from that on the medium.
    size_unsynced: bool,
    /// Pieces that take room on the disk.
    allocated: BTreeSet<usize>,
}

fn pieces_of(range: &Range<usize>) -> Range<usize> {
    range.start / PIECE_SIZE..range.end.div_ceil(PIECE_SIZE)
}

/// Copies one piece; `to` grows with zeros as needed, never beyond `limit`.
fn copy_piece(from: &[u8], to: &mut Vec<u8>, range: Range<usize>) {
    let end = range.end.min(from.len());
    if range.start >= end {
        return;
    }
    if to.len() < end {
        to.resize(end, 0);
    }
    to[range.start..end].copy_from_slice(&from[range.start..end]);
}

impl Inode {
    /// Makes the file at least `size` large; what is new reads as zeros.
    fn grow(&mut self, size: usize) {
        let before = self.bytes.len();
        if before < size {
            self.bytes.resize(size, 0);
            self.size_unsynced = true;
            // What the medium still holds there from before a cut must not come back.
            let stale = before..size.min(self.durable.len());
            if stale.start < stale.end {
                self.unsynced.extend(pieces_of(&stale));
            }
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.grow(end);
        self.bytes[offset..end].copy_from_slice(bytes);
        self.unsynced.extend(pieces_of(&(offset..end)));
    }

    fn sync_pieces(&mut self, pieces: Range<usize>) {
        for piece in pieces {
            if self.unsynced.remove(&piece) {
                let start = piece * PIECE_SIZE;
                copy_piece(&self.bytes, &mut self.durable, start..start + PIECE_SIZE);
            }
        }
    }

    fn sync_size(&mut self) {
        if self.size_unsynced {
            self.durable.resize(self.bytes.len(), 0);
            self.size_unsynced = false;
        }
    }

    fn sync_all(&mut self) {
        self.sync_pieces(0..self.bytes.len().div_ceil(PIECE_SIZE));
        self.sync_size();
        self.unsynced.clear();
    }

    fn power_cut(&mut self, world: &World) {
        let plan = &world.plan.disk;
        for piece in std::mem::take(&mut self.unsynced) {
            let range = piece * PIECE_SIZE..(piece + 1) * PIECE_SIZE;
            if world.dice.per_mille(plan.keep_unsynced_per_mille) {
                world.hit("disk_unsynced_kept");
                copy_piece(&self.bytes, &mut self.durable, range);
            } else if world.dice.per_mille(plan.torn_per_mille) {
                world.hit("disk_torn");
                for sector in range.step_by(SECTOR_SIZE) {
                    if world.dice.one_in(2) {
                        copy_piece(&self.bytes, &mut self.durable, sector..sector + SECTOR_SIZE);
                    }
                }
            } else {
                world.hit("disk_unsynced_lost");
            }
        }
        if self.size_unsynced && world.dice.per_mille(plan.keep_unsynced_per_mille) {
            self.durable.resize(self.bytes.len(), 0);
        }
        self.size_unsynced = false;
        if plan.rot_per_million > 0 && !self.durable.is_empty() {
            for piece in 0..self.durable.len().div_ceil(PIECE_SIZE) {
                if world.dice.per_million(plan.rot_per_million) {
                    let size = self.durable.len() - piece * PIECE_SIZE;
                    let offset = piece * PIECE_SIZE + world.dice.index(size.min(PIECE_SIZE));
                    world.hit("disk_rot");
                    self.durable[offset] ^= 1 << world.dice.below(8);
                }
            }
        }
        self.bytes.clone_from(&self.durable);
        let end = self.bytes.len().div_ceil(PIECE_SIZE);
        self.allocated.retain(|piece| *piece < end);
    }
}

impl DiskState {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            inodes: BTreeMap::new(),
            inodes_made: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            epoch: 0,
        }
    }

    fn used(&self) -> u64 {
        let pieces: usize = self.inodes.values().map(|inode| inode.allocated.len()).sum();
        (pieces * PIECE_SIZE) as u64
    }

    fn change_names(&mut self, removed: Option<PathBuf>, added: Option<(PathBuf, Entry)>) {
        let removed = removed.and_then(|path| self.names.get(&path).map(|entry| (path, *entry)));
        let change = NameChange { removed, added };
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    /// Drops files no name and no open file can reach any more.
    fn forget_nameless(&mut self, open: Option<u64>) {
        let mut reachable: BTreeSet<u64> = open.into_iter().collect();
        let pending = self
            .unsynced_names
            .iter()
            .flat_map(|change| [&change.removed, &change.added])
            .flatten()
            .map(|(_, entry)| entry);
        for entry in self
            .names
            .values()
            .chain(self.durable_names.values())
            .chain(pending)
        {
            if let Entry::File(id) = entry {
                reachable.insert(*id);
            }
        }
        self.inodes.retain(|id, _| reachable.contains(id));
    }

    pub(super) fn power_cut(&mut self, world: &World) {
        self.epoch += 1;
        for change in std::mem::take(&mut self.unsynced_names) {
            if world.dice.per_mille(world.plan.disk.keep_unsynced_name_per_mille) {
                world.hit("disk_unsynced_name_kept");
                change.apply(&mut self.durable_names);
            } else {
                world.hit("disk_unsynced_name_lost");
            }
        }
        // What lay in a directory that was lost is lost.
        let durable = &mut self.durable_names;
        loop {
            let orphans: Vec<PathBuf> = durable
                .keys()
                .filter(|path| {
                    path.parent().is_some_and(|parent| {
                        parent != Path::new("") && durable.get(parent) != Some(&Entry::Dir)
                    })
                })
                .cloned()
                .collect();
            if orphans.is_empty() {
                break;
            }
            for orphan in orphans {
                durable.remove(&orphan);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.forget_nameless(None);
        for inode in self.inodes.values_mut() {
            inode.power_cut(world);
        }
    }

    pub(super) fn rot(&mut self, world: &World, path: &Path, offset: usize) -> bool {
        let Some(Entry::File(id)) = self.names.get(path) else {
            return false;
        };
        let inode = self.inodes.get_mut(id).expect("a name has its file");
        let (Some(seen), Some(durable)) = (inode.bytes.get_mut(offset), inode.durable.get_mut(offset)) else {
            return false;
        };
        let bit = 1 << world.dice.below(8);
        *seen ^= bit;
        *durable ^= bit;
        world.hit("disk_rot");
        true
    }
}

/// The directory tree of a simulated host. The root of the seam is the root of the host's disk.
#[derive(Clone)]
pub struct SimDisk {
    io: SimIo,
    root: Rc<Path>,
    state: Rc<RefCell<DiskState>>,
}

impl SimDisk {
    pub(in crate::io) fn open(io: &SimIo, root: &Path) -> Self {
        Self {
            io: io.clone(),
            root: root.into(),
            state: io.world.disk_of(io.node.host),
        }
    }

    /// Where `path` is, as the names of the disk have it: below the root, which needs no entry of its own.
    fn at(&self, path: &Path) -> PathBuf {
        assert!(path.is_relative(), "paths start at the root of the disk");
        path.components().collect()
    }

    fn error(&self, operation: &'static str, path: &Path, kind: io::ErrorKind) -> io::Error {
        failed(operation, &self.root.join(path), kind.into())
    }

    /// Takes the time of an operation and draws whether it fails.
    async fn operate(&self, operation: &'static str, path: &Path, (low, high): (u64, u64)) -> io::Result<()> {
        let world = &self.io.world;
        let mut time = world.dice.between(low, high);
        if world.dice.per_mille(world.plan.disk.slow_per_mille) {
            world.hit("disk_slow");
            time = time.saturating_mul(100);
        }
        self.io.sleep(Duration::from_nanos(time)).await;
        if world.faults.get() && world.dice.per_mille(world.plan.disk.error_per_mille) {
            world.hit("disk_error");
            return Err(failed(
                operation,
                &self.root.join(path),
                io::Error::other("simulated I/O error"),
            ));
        }
        Ok(())
    }

    async fn access(&self, operation: &'static str, path: &Path) -> io::Result<()> {
        self.operate(operation, path, self.io.world.plan.disk.access_ns)
            .await
    }

    fn parent_is_there(&self, operation: &'static str, path: &Path) -> io::Result<()> {
        let state = self.state.borrow();
        match path.parent() {
            Some(parent) if parent != Path::new("") && state.names.get(parent) != Some(&Entry::Dir) => {
                Err(self.error(operation, path, io::ErrorKind::NotFound))
            }
            _ => Ok(()),
        }
    }

    pub(in crate::io) async fn create_dir(&self, path: &Path) -> io::Result<()> {
        let path = self.at(path);
        self.access("create directory", &path).await?;
        self.parent_is_there("create directory", &path)?;
        let mut state = self.state.borrow_mut();
        match state.names.get(&path) {
            Some(Entry::Dir) => Ok(()),
            Some(Entry::File(_)) => Err(self.error("create directory", &path, io::ErrorKind::AlreadyExists)),
            None => {
                state.change_names(None, Some((path, Entry::Dir)));
                Ok(())
            }
        }
    }

    pub(in crate::io) async fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let path = self.at(path);
        self.access("list", &path).await?;
        let state = self.state.borrow();
        match state.names.get(&path) {
            Some(Entry::Dir) => {}
            None if path == Path::new("") => {}
            Some(Entry::File(_)) => return Err(self.error("list", &path, io::ErrorKind::NotADirectory)),
            None => return Err(self.error("list", &path, io::ErrorKind::NotFound)),
        }
        let inside = state
            .names
            .iter()
            .filter(|(name, _)| name.parent() == Some(&path));
        Ok(inside
            .map(|(name, entry)| Listed {
                name: name.file_name().map(PathBuf::from).unwrap_or_default(),
                is_dir: *entry == Entry::Dir,
                size: match entry {
                    Entry::Dir => 0,
                    Entry::File(id) => state.inodes[id].bytes.len() as u64,
                },
            })
            .collect())
    }

    pub(in crate::io) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.at(from), self.at(to));
        self.access("rename", &from).await?;
        self.parent_is_there("rename", &to)?;
        let mut state = self.state.borrow_mut();
        match (state.names.get(&from).copied(), state.names.get(&to)) {
            (None, _) => Err(self.error("rename", &from, io::ErrorKind::NotFound)),
            // The store renames files only; a directory would take its content along.
            (Some(Entry::Dir), _) | (_, Some(Entry::Dir)) => {
                Err(self.error("rename", &from, io::ErrorKind::IsADirectory))
            }
            (Some(entry), _) => {
                state.change_names(Some(from), Some((to, entry)));
                Ok(())
            }
        }
    }

    pub(in crate::io) async fn remove(&self, path: &Path) -> io::Result<()> {
        let path = self.at(path);
        self.access("remove", &path).await?;
        let mut state = self.state.borrow_mut();
        match state.names.get(&path) {
            Some(Entry::File(_)) => {
                state.change_names(Some(path), None);
                Ok(())
            }
            Some(Entry::Dir) => Err(self.error("remove", &path, io::ErrorKind::IsADirectory)),
            None => Err(self.error("remove", &path, io::ErrorKind::NotFound)),
        }
    }

    pub(in crate::io) async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let path = self.at(path);
        self.access("remove directory", &path).await?;
        let mut state = self.state.borrow_mut();
        if state.names.keys().any(|name| name.parent() == Some(&path)) {
            return Err(self.error("remove directory", &path, io::ErrorKind::DirectoryNotEmpty));
        }
        match state.names.get(&path) {
            Some(Entry::Dir) => {
                state.change_names(Some(path), None);
                Ok(())
            }
            Some(Entry::File(_)) => Err(self.error("remove directory", &path, io::ErrorKind::NotADirectory)),
            None => Err(self.error("remove directory", &path, io::ErrorKind::NotFound)),
        }
    }

    pub(in crate::io) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = self.at(path);
        self.operate("sync directory", &path, self.io.world.plan.disk.sync_ns)
            .await?;
        let mut state = self.state.borrow_mut();
        let DiskState {
            durable_names,
            unsynced_names,
            ..
        } = &mut *state;
        unsynced_names.retain(|change| {
            let covered = change.touches(&path);
            if covered {
                change.apply(durable_names);
            }
            !covered
        });
        Ok(())
    }

    pub(in crate::io) fn space(&self) -> Space {
        let state = self.state.borrow();
        Space {
            free: state.capacity.saturating_sub(state.used()),
            total: state.capacity,
        }
    }

    pub(in crate::io) async fn open_file(
        &self,
        path: &Path,
        access: Access,
        opening: Opening,
    ) -> io::Result<SimFile> {
        let path = self.at(path);
        self.access("open", &path).await?;
        self.parent_is_there("open", &path)?;
        let mut state = self.state.borrow_mut();
        let id = match (state.names.get(&path), opening) {
            (Some(Entry::Dir), _) => return Err(self.error("open", &path, io::ErrorKind::IsADirectory)),
            (Some(Entry::File(_)), Opening::New) => {
                return Err(self.error("open", &path, io::ErrorKind::AlreadyExists))
            }
            (None, Opening::Existing) => return Err(self.error("open", &path, io::ErrorKind::NotFound)),
            (Some(Entry::File(id)), _) => *id,
            (None, _) => {
                state.inodes_made += 1;
                let id = state.inodes_made;
                state.inodes.insert(id, Inode::default());
                state.change_names(None, Some((path.clone(), Entry::File(id))));
                id
            }
        };
        Ok(SimFile {
            disk: self.clone(),
            path: self.root.join(&path),
            id,
            access,
            epoch: state.epoch,
        })
    }
}

/// An open file of a simulated host.
pub struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    id: u64,
    access: Access,
    epoch: u64,
}

impl SimFile {
    pub(in crate::io) fn access(&self) -> Access {
        self.access
    }

    pub(in crate::io) fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is now. The caller holds no other borrow of the disk.
    fn with<T>(&self, work: impl FnOnce(&mut Inode) -> T) -> T {
        let mut state = self.disk.state.borrow_mut();
        assert!(
            state.epoch == self.epoch,
            "a file is not used after the power cut of its host"
        );
        work(state.inodes.entry(self.id).or_default())
    }

    /// Takes room for a range.
    fn reserve(&self, operation: &'static str, range: Range<usize>) -> io::Result<()> {
        let (used, capacity) = {
            let state = self.disk.state.borrow();
            (state.used(), state.capacity)
        };
        self.with(|inode| {
            let new: Vec<usize> = pieces_of(&range)
                .filter(|piece| !inode.allocated.contains(piece))
                .collect();
            if used + (new.len() * PIECE_SIZE) as u64 > capacity {
                self.disk.io.world.hit("disk_full");
                return Err(failed(operation, &self.path, io::ErrorKind::StorageFull.into()));
            }
            inode.allocated.extend(new);
            Ok(())
        })
    }

    fn range(&self, operation: &'static str, offset: u64, size: usize) -> io::Result<Range<usize>> {
        let start = usize::try_from(offset)
            .map_err(|_| failed(operation, &self.path, io::ErrorKind::InvalidInput.into()))?;
        Ok(start..start + size)
    }

    pub(in crate::io) fn size(&self) -> u64 {
        self.with(|inode| inode.bytes.len() as u64)
    }

    pub(in crate::io) async fn allocate(&self, size: u64) -> io::Result<()> {
        self.disk.access("allocate", &self.path).await?;
        let range = self.range("allocate", size, 0)?;
        self.reserve("allocate", 0..range.end)?;
        self.with(|inode| inode.grow(range.end));
        Ok(())
    }

    pub(in crate::io) async fn truncate(&self, size: u64) -> io::Result<()> {
        self.disk.access("truncate", &self.path).await?;
        let range = self.range("truncate", size, 0)?;
        self.with(|inode| {
            inode.grow(range.end);
            inode.bytes.truncate(range.end);
            inode.size_unsynced = true;
            let end = range.end.div_ceil(PIECE_SIZE);
            inode.allocated.retain(|piece| *piece < end);
            inode.unsynced.retain(|piece| *piece < end);
        });
        Ok(())
    }

    pub(in crate::io) async fn write_durable(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let range = self.range("write", offset, bytes.len())?;
        self.reserve("write", range.clone())?;
        // On its way from here on: a power cut, or a failure, leaves any part of it.
        self.with(|inode| inode.write(bytes, range.start));
        let sync_ns = self.disk.io.world.plan.disk.sync_ns;
        self.disk.operate("write", &self.path, sync_ns).await?;
        self.with(|inode| {
            inode.sync_pieces(pieces_of(&range));
            inode.sync_size();
        });
        Ok(())
    }

    pub(in crate::io) async fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let range = self.range("write", offset, bytes.len())?;
        self.disk.access("write", &self.path).await?;
        self.reserve("write", range.clone())?;
        self.with(|inode| inode.write(bytes, range.start));
        Ok(())
    }

    pub(in crate::io) async fn sync(&self) -> io::Result<()> {
        let sync_ns = self.disk.io.world.plan.disk.sync_ns;
        match self.disk.operate("sync", &self.path, sync_ns).await {
            Ok(()) => {
                self.with(Inode::sync_all);
                Ok(())
            }
            Err(error) => {
                // As Linux does: what could not be written is clean afterwards, and gone later.
                self.with(|inode| inode.unsynced.clear());
                Err(error)
            }
        }
    }

    pub(in crate::io) async fn read(&self, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        let range = self.range("read", offset, size)?;
        self.disk.access("read", &self.path).await?;
        Ok(self.with(|inode| {
            let end = range.end.min(inode.bytes.len());
            let start = range.start.min(end);
            inode.bytes[start..end].to_vec()
        }))
    }
}
