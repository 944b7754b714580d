//! Weighted mappings of an account: a published subject goes to one of several destinations, or nowhere.
//!
//! Owns: checking the destinations of one source, the choice by weight and cluster, the list in its order.
//! Not here: what a transform does (`transform`). Weights are percent. Randomness comes in as an argument.

use super::transform::{check_mapping, number_wildcards, Transform, TransformError, Use};
use super::wildcard::is_subset;
use super::{is_literal, is_valid};

/// One destination as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The subject, with wildcard numbers and functions.
    pub subject: Vec<u8>,
    /// Percent of the messages.
    pub weight: u8,
    /// Only in this cluster; empty: everywhere that has no destinations of its own.
    pub cluster: Vec<u8>,
}

impl Destination {
    /// Takes everything, everywhere.
    pub fn whole(subject: &[u8]) -> Destination {
        Destination {
            subject: subject.to_vec(),
            weight: WHOLE,
            cluster: Vec::new(),
        }
    }
}

/// All messages, in percent.
pub const WHOLE: u8 = 100;

/// Why a mapping cannot be. The texts are the peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// The source is no valid subject, or a destination is empty.
    BadSubject,
    /// The same destination twice, be it in different clusters.
    Duplicate(String),
    /// One weight above 100.
    WeightTooLarge,
    /// The weights of one cluster add up to more than 100.
    WeightSumTooLarge,
    /// A destination that cannot be.
    Transform(TransformError),
}

impl std::fmt::Display for MappingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MappingError::BadSubject => f.write_str("invalid subject"),
            MappingError::Duplicate(subject) => write!(f, "duplicate entry for {subject:?}"),
            MappingError::WeightTooLarge => f.write_str("individual weights need to be <= 100"),
            MappingError::WeightSumTooLarge => f.write_str("total weight needs to be <= 100"),
            MappingError::Transform(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MappingError {}

impl From<TransformError> for MappingError {
    fn from(error: TransformError) -> MappingError {
        MappingError::Transform(error)
    }
}

/// What became of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    /// No mapping takes it: it stays as it is.
    Unmapped,
    /// The new subject was written.
    Mapped,
    /// The weights leave this message without a destination: it is to be dropped.
    Dropped,
}

/// The mappings of an account, asked in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Mappings {
    list: Vec<Mapping>,
}

impl Mappings {
    /// Adds a mapping, in the place of an older one of the same source.
    pub fn add(&mut self, source: &[u8], destinations: &[Destination]) -> Result<(), MappingError> {
        let mapping = Mapping::compile(source, destinations)?;
        match self.list.iter_mut().find(|old| old.source == mapping.source) {
            Some(old) => *old = mapping,
            None => self.list.push(mapping),
        }
        Ok(())
    }

    /// Removes the mapping of a source; the last one takes its place. Returns whether there was one.
    pub fn remove(&mut self, source: &[u8]) -> bool {
        let found = self.list.iter().position(|mapping| *mapping.source == *source);
        found.map(|at| self.list.swap_remove(at)).is_some()
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Appends what `subject` becomes in this cluster to `out`. `random` is any of all u64, evenly.
    pub fn select(&self, subject: &[u8], cluster: &[u8], random: u64, out: &mut Vec<u8>) -> Selected {
        match self.list.iter().find(|mapping| mapping.takes(subject)) {
            None => Selected::Unmapped,
            Some(mapping) => mapping.select(subject, cluster, random, out),
        }
    }
}

/// Where the messages to one source go.
#[derive(Clone, Debug)]
struct Mapping {
    source: Box<[u8]>,
    is_literal: bool,
    everywhere: Vec<Choice>,
    /// Sorted by name.
    clusters: Vec<(Vec<u8>, Vec<Choice>)>,
}

/// Transforms with their weights, as configured.
type Weighted = Vec<(Transform, u8)>;

/// A destination that is chosen when the draw lies below its bound and not below the one before.
#[derive(Clone, Debug)]
struct Choice {
    transform: Transform,
    /// Sum of the weights up to here, in percent.
    bound: u8,
}

impl Mapping {
    fn compile(source: &[u8], destinations: &[Destination]) -> Result<Mapping, MappingError> {
        if !is_valid(source) {
            return Err(MappingError::BadSubject);
        }
        let mut everywhere = Weighted::new();
        let mut clusters: Vec<(Vec<u8>, Weighted)> = Vec::new();
        for (at, destination) in destinations.iter().enumerate() {
            let Destination {
                subject,
                weight,
                cluster,
            } = destination;
            if destinations[..at]
                .iter()
                .any(|earlier| earlier.subject == *subject)
            {
                return Err(MappingError::Duplicate(
                    String::from_utf8_lossy(subject).into_owned(),
                ));
            }
            if *weight > WHOLE {
                return Err(MappingError::WeightTooLarge);
            }
            let same_cluster = destinations[..=at]
                .iter()
                .filter(|other| other.cluster == *cluster);
            let sum: u32 = same_cluster.map(|other| u32::from(other.weight)).sum();
            if sum > u32::from(WHOLE) {
                return Err(MappingError::WeightSumTooLarge);
            }
            check_mapping(source, subject)?;
            let transform =
                Transform::compile(source, subject, Use::Mapping)?.ok_or(MappingError::BadSubject)?;
            if cluster.is_empty() {
                everywhere.push((transform, *weight));
                continue;
            }
            let place = clusters
                .binary_search_by(|(name, _)| name.cmp(cluster))
                .unwrap_or_else(|place| {
                    clusters.insert(place, (cluster.clone(), Vec::new()));
                    place
                });
            clusters[place].1.push((transform, *weight));
        }
        // Who lists the source as a destination decides what stays; otherwise the remainder does.
        let keeps_rest = !destinations
            .iter()
            .any(|destination| destination.subject == source);
        Ok(Mapping {
            source: Box::from(source),
            is_literal: is_literal(source),
            everywhere: choices(source, everywhere, keeps_rest)?,
            clusters: clusters
                .into_iter()
                .map(|(name, weighted)| Ok((name, choices(source, weighted, keeps_rest)?)))
                .collect::<Result<_, MappingError>>()?,
        })
    }

    fn takes(&self, subject: &[u8]) -> bool {
        if self.is_literal && *self.source == *subject {
            return true;
        }
        is_subset(subject, &self.source)
    }

    fn select(&self, subject: &[u8], cluster: &[u8], random: u64, out: &mut Vec<u8>) -> Selected {
        let found = self.clusters.iter().find(|(name, _)| name == cluster);
        let choices = found.map_or(&self.everywhere, |(_, choices)| choices);
        let draw = random % u64::from(WHOLE);
        match choices.iter().find(|choice| draw < u64::from(choice.bound)) {
            None => Selected::Dropped,
            Some(choice) => {
                choice.transform.apply(subject, random, out);
                Selected::Mapped
            }
        }
    }
}

fn choices(source: &[u8], mut weighted: Weighted, keeps_rest: bool) -> Result<Vec<Choice>, MappingError> {
    let sum: u8 = weighted.iter().map(|(_, weight)| weight).sum();
    if sum != WHOLE && keeps_rest {
        let unchanged = Transform::compile(source, &number_wildcards(source), Use::Mapping)?;
        weighted.push((unchanged.ok_or(MappingError::BadSubject)?, WHOLE - sum));
    }
    weighted.sort_by_key(|(_, weight)| *weight);
    let mut bound = 0;
    let add_up = |(transform, weight)| {
        bound += weight;
        Choice { transform, bound }
    };
    Ok(weighted.into_iter().map(add_up).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(subject: &str, weight: u8, cluster: &str) -> Destination {
        Destination {
            subject: subject.into(),
            weight,
            cluster: cluster.into(),
        }
    }

    /// How often each outcome comes up in 100 draws.
    fn outcomes(mappings: &Mappings, subject: &str, cluster: &str) -> Vec<(String, u32)> {
        let mut counts = std::collections::BTreeMap::new();
        for random in 0..100 {
            let mut out = Vec::new();
            let outcome = match mappings.select(subject.as_bytes(), cluster.as_bytes(), random, &mut out) {
                Selected::Unmapped => "unmapped".to_owned(),
                Selected::Dropped => "dropped".to_owned(),
                Selected::Mapped => String::from_utf8(out).unwrap(),
            };
            *counts.entry(outcome).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    fn expected(counts: &[(&str, u32)]) -> Vec<(String, u32)> {
        counts
            .iter()
            .map(|&(subject, count)| (subject.to_owned(), count))
            .collect()
    }

    /// Weights share the messages out; what is left keeps its subject, unless the source is listed itself.
    /// Covers: TestAccountMultiWeightedRouteMappings
    /// Covers: TestAccountSimpleWeightedRouteMapping
    /// Covers: TestAccountRouteMappingsWithLossInjection
    #[test]
    fn weights_share_messages_out() {
        let mut mappings = Mappings::default();
        mappings
            .add(b"foo", &[destination("v1", 10, ""), destination("v2", 25, "")])
            .unwrap();
        mappings
            .add(b"loss", &[destination("loss", 20, ""), destination("v3", 30, "")])
            .unwrap();
        mappings.add(b"w.*.*", &[destination("$2.$1", 40, "")]).unwrap();
        mappings.add(b"one", &[Destination::whole(b"two")]).unwrap();
        assert_eq!(
            outcomes(&mappings, "foo", ""),
            expected(&[("foo", 65), ("v1", 10), ("v2", 25)])
        );
        assert_eq!(
            outcomes(&mappings, "loss", ""),
            expected(&[("dropped", 50), ("loss", 20), ("v3", 30)])
        );
        assert_eq!(
            outcomes(&mappings, "w.a.b", ""),
            expected(&[("b.a", 40), ("w.a.b", 60)])
        );
        assert_eq!(outcomes(&mappings, "one", ""), expected(&[("two", 100)]));
        assert_eq!(outcomes(&mappings, "w.a", ""), expected(&[("unmapped", 100)]));
    }

    /// A cluster with destinations of its own uses only those; every other cluster uses the rest.
    /// Covers: TestAccountRouteMappingsWithOriginClusterFilter
    #[test]
    fn clusters_have_their_own_destinations() {
        let mut mappings = Mappings::default();
        mappings
            .add(
                b"foo",
                &[destination("all", 100, ""), destination("east", 30, "E")],
            )
            .unwrap();
        mappings.add(b"bar", &[destination("west", 100, "W")]).unwrap();
        assert_eq!(outcomes(&mappings, "foo", "X"), expected(&[("all", 100)]));
        assert_eq!(
            outcomes(&mappings, "foo", "E"),
            expected(&[("east", 30), ("foo", 70)])
        );
        assert_eq!(outcomes(&mappings, "bar", "W"), expected(&[("west", 100)]));
        assert_eq!(outcomes(&mappings, "bar", "E"), expected(&[("bar", 100)]));
    }

    /// The first mapping that takes a subject decides; adding a source again replaces it in its place.
    /// Covers: TestAccountBasicRouteMapping
    #[test]
    fn first_mapping_decides() {
        let mut mappings = Mappings::default();
        assert!(mappings.is_empty());
        mappings.add(b"a.*", &[Destination::whole(b"wild.$1")]).unwrap();
        mappings.add(b"a.b", &[Destination::whole(b"literal")]).unwrap();
        assert_eq!(outcomes(&mappings, "a.b", ""), expected(&[("wild.b", 100)]));
        mappings.add(b"a.*", &[Destination::whole(b"other.$1")]).unwrap();
        assert_eq!(outcomes(&mappings, "a.b", ""), expected(&[("other.b", 100)]));
        assert!(mappings.remove(b"a.*"));
        assert!(!mappings.remove(b"a.*"));
        assert_eq!(outcomes(&mappings, "a.b", ""), expected(&[("literal", 100)]));
    }

    /// What cannot be is refused in the peer's words, and leaves the list as it was.
    #[test]
    fn wrong_mappings_are_refused() {
        let mut mappings = Mappings::default();
        let mut refused = |source: &str, destinations: &[Destination]| {
            let error = mappings
                .add(source.as_bytes(), destinations)
                .unwrap_err()
                .to_string();
            assert!(mappings.is_empty());
            error
        };
        assert_eq!(refused("foo..bar", &[]), "invalid subject");
        assert_eq!(refused("foo", &[destination("", 100, "")]), "invalid subject");
        assert_eq!(
            refused("foo", &[destination("v1", 101, "")]),
            "individual weights need to be <= 100"
        );
        let too_much = [destination("v1", 60, ""), destination("v2", 60, "")];
        assert_eq!(refused("foo", &too_much), "total weight needs to be <= 100");
        let twice = [destination("v1", 10, ""), destination("v1", 10, "E")];
        assert_eq!(refused("foo", &twice), "duplicate entry for \"v1\"");
        assert_eq!(
            refused("foo.*", &[destination("v.$2", 100, "")]),
            "invalid mapping destination: wildcard index out of range in $2: [2]"
        );
    }
}
