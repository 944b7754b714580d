//! CPU quotas of cgroups, version 1 and 2.
//!
//! Owns: finding the files of this process's cgroup and reading them. A quota counts wherever it stands on the way
//! to the root, so every directory on the way is looked at and the tightest one wins.
//!
//! v2   cpu.max             "50000 100000" or "max 100000"
//! v1   cpu.cfs_quota_us    "50000" or "-1", and cpu.cfs_period_us    "100000"

use std::path::{Component, Path, PathBuf};

/// Text files, this machine's or a test's.
pub trait ReadText {
    /// The text; `None` when it cannot be read.
    fn read(&self, path: &Path) -> Option<String>;
}

/// CPU time that the cgroups allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuQuota {
    /// Thousandths of a CPU.
    pub millicpus: u64,
}

/// The tightest quota on this process, if there is any.
pub fn cpu_quota(files: &dyn ReadText) -> Option<CpuQuota> {
    let memberships = files.read(Path::new("/proc/self/cgroup"))?;
    let mounts = files.read(Path::new("/proc/self/mountinfo"))?;
    let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
    memberships
        .lines()
        .filter_map(|line| quota_of_membership(files, &mounts, line))
        .min()
}

/// `hierarchy:controllers:path`; version 2 has hierarchy 0 and no controllers.
fn quota_of_membership(files: &dyn ReadText, mounts: &[Mount<'_>], line: &str) -> Option<CpuQuota> {
    let mut parts = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_v2 = hierarchy == "0" && controllers.is_empty();
    if !is_v2 && !controllers.split(',').any(|controller| controller == "cpu") {
        return None;
    }
    let mount = mounts.iter().find(|mount| mount.is_for(is_v2))?;
    let read_quota = if is_v2 { quota_v2 } else { quota_v1 };
    let quotas = directories(mount, path)
        .into_iter()
        .filter_map(|directory| read_quota(files, &directory));
    quotas.min()
}

/// The cgroup's directory and those above it, up to the mount point.
fn directories(mount: &Mount<'_>, path: &str) -> Vec<PathBuf> {
    // A container often sees only its own part of the tree: the mount's root is the beginning of the path.
    let inside = Path::new(path).strip_prefix(mount.root).unwrap_or(Path::new(""));
    let steps: PathBuf = inside
        .components()
        .filter(|step| matches!(step, Component::Normal(_)))
        .collect();
    steps
        .ancestors()
        .map(|ancestor| Path::new(mount.point).join(ancestor))
        .collect()
}

fn quota_v2(files: &dyn ReadText, directory: &Path) -> Option<CpuQuota> {
    let text = files.read(&directory.join("cpu.max"))?;
    let (quota, period) = text.trim().split_once(' ')?;
    quota_of(quota.parse().ok()?, period.parse().ok()?)
}

fn quota_v1(files: &dyn ReadText, directory: &Path) -> Option<CpuQuota> {
    let quota = files.read(&directory.join("cpu.cfs_quota_us"))?;
    let period = files.read(&directory.join("cpu.cfs_period_us"))?;
    // "-1" for none is no u64.
    quota_of(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn quota_of(quota_us: u64, period_us: u64) -> Option<CpuQuota> {
    let millicpus = quota_us.checked_mul(1000)?.checked_div(period_us)?;
    Some(CpuQuota { millicpus })
}

/// One line of /proc/self/mountinfo.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    fn parse(line: &str) -> Option<Mount<'_>> {
        let (before, behind) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let behind: Vec<&str> = behind.split(' ').collect();
        Some(Mount {
            root: before.get(3)?,
            point: before.get(4)?,
            kind: behind.first()?,
            options: behind.get(2).copied().unwrap_or_default(),
        })
    }

    fn is_for(&self, is_v2: bool) -> bool {
        if is_v2 {
            self.kind == "cgroup2"
        } else {
            self.kind == "cgroup" && self.options.split(',').any(|option| option == "cpu")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl ReadText for Files {
        fn read(&self, path: &Path) -> Option<String> {
            self.0.get(path.to_str()?).map(|text| (*text).to_owned())
        }
    }

    const V2: &str = "24 1 0:22 / /proc rw - proc proc rw\n30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 1 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n32 1 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
    const V1_DOCKER: &str = "32 1 0:28 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";

    fn quota(files: &[(&'static str, &'static str)]) -> Option<u64> {
        cpu_quota(&Files(files.iter().copied().collect())).map(|quota| quota.millicpus)
    }

    /// Version 2, with the limit on the cgroup itself, above it, or nowhere.
    #[test]
    fn version_2() {
        let own = ("/proc/self/cgroup", "0::/user.slice/nats.service\n");
        let mounts = ("/proc/self/mountinfo", V2);
        assert_eq!(quota(&[own, mounts]), None);
        let max = "/sys/fs/cgroup/user.slice/nats.service/cpu.max";
        assert_eq!(quota(&[own, mounts, (max, "max 100000\n")]), None);
        assert_eq!(quota(&[own, mounts, (max, "150000 100000\n")]), Some(1500));
        assert_eq!(
            quota(&[own, mounts, (max, "10 0\n")]),
            None,
            "no division by zero"
        );
        let above = ("/sys/fs/cgroup/user.slice/cpu.max", "50000 100000\n");
        assert_eq!(quota(&[own, mounts, (max, "150000 100000\n"), above]), Some(500));
        assert_eq!(
            quota(&[
                ("/proc/self/cgroup", "0::/\n"),
                mounts,
                ("/sys/fs/cgroup/cpu.max", "400000 100000\n")
            ]),
            Some(4000)
        );
        assert_eq!(
            quota(&[
                ("/proc/self/cgroup", "0::/../..\n"),
                mounts,
                ("/sys/fs/cgroup/cpu.max", "400000 100000\n")
            ]),
            Some(4000)
        );
    }

    /// Version 1, also where a container sees only its own part of the tree.
    #[test]
    fn version_1() {
        let own = ("/proc/self/cgroup", "3:cpuset:/a\n2:cpu,cpuacct:/a/b\n");
        let mounts = ("/proc/self/mountinfo", V1);
        let quota_file = "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us";
        let period = ("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota(&[own, mounts, (quota_file, "-1\n"), period]), None);
        assert_eq!(
            quota(&[own, mounts, (quota_file, "250000\n"), period]),
            Some(2500)
        );
        assert_eq!(
            quota(&[
                ("/proc/self/cgroup", "2:cpu:/docker/ab\n"),
                ("/proc/self/mountinfo", V1_DOCKER),
                ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "80000\n"),
                ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ]),
            Some(800)
        );
    }

    /// Texts that make no sense are no quota.
    #[test]
    fn nonsense_is_no_quota() {
        assert_eq!(quota(&[]), None);
        assert_eq!(
            quota(&[
                ("/proc/self/cgroup", "nonsense\n::\n0::"),
                ("/proc/self/mountinfo", "- -\n\n - ")
            ]),
            None
        );
    }
}
