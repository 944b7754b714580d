//! Random rules against a slow, obvious model of what the documentation says.
//!
//! A world of a few accounts with random users, permissions, exports, imports, mappings and subscriptions on up to three
//! shards. Every user publishes to every subject; who gets what under which subject must be what the model says, no more
//! and no less. The model shares nothing with the server's code: it splits subjects into words and walks lists.

use std::collections::BTreeMap;
use std::rc::Rc;

use pinion_shard::io::simulated::Dice;
use pinion_shard::rules::{
    Access, AccountSpec, AllowDeny, PermissionSpec, Rules, RulesSpec, ServiceExport, ServiceImport,
    StreamExport, StreamImport,
};
use pinion_shard::subject::mapping::{Destination, Mappings};

use super::stage::{Client, Stage, MOMENT};
use super::users::{rules, User};

const ACCOUNTS: [&str; 3] = ["A", "B", "C"];
const WORDS: [&str; 3] = ["a", "b", "c"];
const PATTERNS: [&str; 12] = [
    "a", "b", "a.b", "b.c", "*", "a.*", "*.b", "*.*", "a.>", ">", "a.b.c", "x.>",
];
const SEEDS: u64 = 100;

/// A rewrite of subjects: from a pattern to a pattern with its wildcards in an order.
#[derive(Clone, Debug)]
struct Shape {
    /// What the exporter calls it.
    there: String,
    /// What the importer calls it, wildcards numbered.
    here: String,
}

#[derive(Clone, Debug, Default)]
struct Account {
    services: Vec<String>,
    streams: Vec<String>,
    /// Exporter, subjects.
    service_imports: Vec<(usize, Shape)>,
    stream_imports: Vec<(usize, Shape)>,
    /// From a pattern to a destination with numbered wildcards.
    mappings: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Person {
    account: usize,
    permissions: PermissionSpec,
    /// Subscriptions, by sid.
    subscriptions: Vec<String>,
}

#[derive(Debug)]
struct World {
    accounts: Vec<Account>,
    people: Vec<Person>,
}

// The model.

fn words(subject: &str) -> Vec<&str> {
    subject.split('.').collect()
}

/// The words that the wildcards of a pattern stand for; `None`: it does not match.
fn wildcards(pattern: &str, subject: &str) -> Option<Vec<String>> {
    let (pattern, subject) = (words(pattern), words(subject));
    let mut found = Vec::new();
    for (at, word) in pattern.iter().enumerate() {
        match *word {
            ">" if at < subject.len() => {
                found.push(subject[at..].join("."));
                return Some(found);
            }
            "*" => found.push((*subject.get(at)?).to_owned()),
            word => {
                if subject.get(at) != Some(&word) {
                    return None;
                }
            }
        }
    }
    (pattern.len() == subject.len()).then_some(found)
}

fn matches(pattern: &str, subject: &str) -> bool {
    wildcards(pattern, subject).is_some()
}

/// A subject of `from` written as `to` says.
fn rewrite(from: &str, to: &str, subject: &str) -> Option<String> {
    let found = wildcards(from, subject)?;
    let word = |word: &str| match word {
        ">" => found.last().expect("both end in >").clone(),
        word => match word.strip_prefix('$') {
            Some(number) => found[number.parse::<usize>().expect("a number") - 1].clone(),
            None => word.to_owned(),
        },
    };
    Some(words(to).into_iter().map(word).collect::<Vec<_>>().join("."))
}

/// A numbered subject as a pattern, and the other one numbered to fit it: the way back.
fn turn(shape: &Shape) -> (String, String) {
    let mut places = Vec::new();
    let pattern: Vec<_> = words(&shape.here)
        .into_iter()
        .map(|word| match word.strip_prefix('$') {
            Some(number) => {
                places.push(number.parse::<usize>().expect("a number"));
                "*".to_owned()
            }
            None => word.to_owned(),
        })
        .collect();
    let mut star = 0;
    let there: Vec<_> = words(&shape.there)
        .into_iter()
        .map(|word| {
            if word != "*" {
                return word.to_owned();
            }
            star += 1;
            let place = places
                .iter()
                .position(|place| *place == star)
                .expect("each wildcard is named");
            format!("${}", place + 1)
        })
        .collect();
    (pattern.join("."), there.join("."))
}

fn is_listed(list: &Option<AllowDeny>, subject: &str) -> bool {
    let Some(list) = list else { return true };
    let any = |entries: &[String]| entries.iter().any(|entry| matches(entry, subject));
    list.allow.as_deref().is_none_or(any) && !any(&list.deny)
}

/// Who (person, sid) gets a message under which subject.
type Deliveries = BTreeMap<(usize, usize, String), usize>;

impl World {
    fn map(&self, account: usize, subject: &str) -> String {
        let mappings = self.accounts[account].mappings.iter();
        let mut mapped = mappings.filter_map(|(from, to)| rewrite(from, to, subject));
        mapped.next().unwrap_or_else(|| subject.to_owned())
    }

    fn publish(&self, publisher: usize, subject: &str) -> Deliveries {
        let mut deliveries = Deliveries::new();
        let person = &self.people[publisher];
        let subject = self.map(person.account, subject);
        if is_listed(&person.permissions.publish, &subject) {
            self.route(person.account, &subject, false, &mut Vec::new(), &mut deliveries);
        }
        deliveries
    }

    fn route(
        &self,
        account: usize,
        subject: &str,
        is_from_service: bool,
        trail: &mut Vec<(usize, String)>,
        deliveries: &mut Deliveries,
    ) {
        self.deliver(account, subject, deliveries);
        if !is_from_service {
            for (importer, other) in self.accounts.iter().enumerate() {
                for (_, shape) in other
                    .stream_imports
                    .iter()
                    .filter(|(exporter, _)| *exporter == account)
                {
                    if let Some(here) = rewrite(&shape.there, &shape.here, subject) {
                        self.deliver(importer, &here, deliveries);
                    }
                }
            }
        }
        for (exporter, shape) in &self.accounts[account].service_imports {
            let (here, there) = turn(shape);
            let Some(asked) = rewrite(&here, &there, subject) else {
                continue;
            };
            let exports = &self.accounts[*exporter].services;
            let export = exports
                .iter()
                .find(|export| **export == shape.there)
                .expect("it is exported")
                .clone();
            if trail.contains(&(*exporter, export.clone())) {
                continue;
            }
            trail.push((*exporter, export));
            self.route(*exporter, &self.map(*exporter, &asked), true, trail, deliveries);
            trail.pop();
        }
    }

    fn deliver(&self, account: usize, subject: &str, deliveries: &mut Deliveries) {
        for (number, person) in self
            .people
            .iter()
            .enumerate()
            .filter(|(_, person)| person.account == account)
        {
            for (sid, pattern) in person.subscriptions.iter().enumerate() {
                let is_allowed = is_listed(&person.permissions.subscribe, pattern);
                let is_denied = person
                    .permissions
                    .subscribe
                    .as_ref()
                    .is_some_and(|list| list.deny.iter().any(|entry| matches(entry, subject)));
                if is_allowed && !is_denied && matches(pattern, subject) {
                    *deliveries.entry((number, sid, subject.to_owned())).or_insert(0) += 1;
                }
            }
        }
    }

    fn spec(&self) -> RulesSpec {
        let accounts = self.accounts.iter().zip(ACCOUNTS).map(|(account, name)| {
            let mut spec = AccountSpec {
                name: name.to_owned(),
                ..AccountSpec::default()
            };
            spec.exports.services = account
                .services
                .iter()
                .map(|subject| ServiceExport::public(subject))
                .collect();
            let stream = |subject: &String| StreamExport {
                subject: subject.clone(),
                access: Access::Public,
            };
            spec.exports.streams = account.streams.iter().map(stream).collect();
            let service = |(exporter, shape): &(usize, Shape)| ServiceImport {
                account: ACCOUNTS[*exporter].to_owned(),
                subject: shape.there.clone(),
                local: shape.here.clone(),
                share: false,
                is_activated: false,
            };
            spec.imports.services = account.service_imports.iter().map(service).collect();
            let stream = |(exporter, shape): &(usize, Shape)| StreamImport {
                account: ACCOUNTS[*exporter].to_owned(),
                subject: shape.there.clone(),
                local: shape.here.clone(),
                is_activated: false,
                allow_trace: false,
            };
            spec.imports.streams = account.stream_imports.iter().map(stream).collect();
            let mut mappings = Mappings::default();
            for (from, to) in &account.mappings {
                let destination = Destination::whole(to.as_bytes());
                mappings
                    .add(from.as_bytes(), &[destination])
                    .expect("mappings of a test hold");
            }
            spec.mappings = mappings;
            spec
        });
        RulesSpec {
            accounts: accounts.collect(),
            ..RulesSpec::default()
        }
    }

    fn rules(&self) -> Rules {
        let names: Vec<String> = (0..self.people.len())
            .map(|number| format!("u{number}"))
            .collect();
        let users: Vec<_> = self
            .people
            .iter()
            .zip(&names)
            .map(|(person, name)| {
                let user = User {
                    permissions: person.permissions.clone(),
                    ..User::of(ACCOUNTS[person.account])
                };
                (name.as_str(), user)
            })
            .collect();
        rules(None, self.spec(), &users)
    }
}

// Chance.

fn draw_shape(dice: &Dice) -> Shape {
    let (there, here) = dice.pick(&[
        ("a", "a"),
        ("a", "x.a"),
        ("a.*", "a.$1"),
        ("a.*", "$1.b"),
        ("*.b", "x.$1"),
        ("*.*", "$2.$1"),
        ("a.>", "a.>"),
        ("a.>", "x.>"),
        ("b.*", "c.$1.a"),
    ]);
    Shape {
        there: there.to_owned(),
        here: here.to_owned(),
    }
}

fn draw_list(dice: &Dice) -> Option<AllowDeny> {
    let some = |most: usize| -> Vec<String> {
        (0..dice.size(0, most))
            .map(|_| dice.pick(&PATTERNS).to_owned())
            .collect()
    };
    dice.one_in(2).then(|| AllowDeny {
        allow: dice.one_in(2).then(|| [some(3), vec!["*.*".to_owned()]].concat()),
        deny: some(2),
    })
}

fn draw_world(dice: &Dice) -> World {
    let mut accounts = vec![Account::default(); ACCOUNTS.len()];
    for importer in 0..accounts.len() {
        // Only from accounts before it: no way leads back.
        for exporter in 0..importer {
            for _ in 0..dice.size(0, 2) {
                let shape = draw_shape(dice);
                let is_service = dice.one_in(2);
                let exports = if is_service {
                    &mut accounts[exporter].services
                } else {
                    &mut accounts[exporter].streams
                };
                if !exports.contains(&shape.there) {
                    exports.push(shape.there.clone());
                }
                let account = &mut accounts[importer];
                if is_service {
                    account.service_imports.push((exporter, shape));
                } else {
                    account.stream_imports.push((exporter, shape));
                }
            }
        }
        if dice.one_in(3) {
            let mapping = dice.pick(&[("c", "a.b"), ("c.*", "a.$1"), ("b.*", "x.$1"), ("*.c", "a")]);
            accounts[importer]
                .mappings
                .push((mapping.0.to_owned(), mapping.1.to_owned()));
        }
    }
    let people = (0..dice.size(3, 6)).map(|number| Person {
        account: number % ACCOUNTS.len(),
        permissions: PermissionSpec {
            publish: draw_list(dice),
            subscribe: draw_list(dice),
            responses: None,
        },
        subscriptions: (0..dice.size(1, 4))
            .map(|_| dice.pick(&PATTERNS).to_owned())
            .collect(),
    });
    World {
        people: people.collect(),
        accounts,
    }
}

fn subjects() -> Vec<String> {
    let one = WORDS.iter().map(|word| (*word).to_owned());
    let two = WORDS
        .iter()
        .flat_map(|a| WORDS.iter().map(move |b| format!("{a}.{b}")));
    let more = ["a.b.c", "x.a", "x.b", "x.a.b", "c.a.a"].map(str::to_owned);
    one.chain(two).chain(more).collect()
}

/// What clients got since the last look: subject and sid of each message.
fn received(clients: &[Rc<Client>], seen: &mut [usize]) -> Deliveries {
    let mut deliveries = Deliveries::new();
    for (number, (client, seen)) in clients.iter().zip(seen).enumerate() {
        let said = client.said();
        for line in &said[*seen..] {
            let line: Vec<_> = line.split(' ').collect();
            if matches!(line[0], "MSG" | "HMSG") {
                let sid: usize = line[2].parse().expect("sids of a test are numbers");
                *deliveries.entry((number, sid, line[1].to_owned())).or_insert(0) += 1;
            }
        }
        *seen = said.len();
    }
    deliveries
}

/// Whatever the rules, the server does what the model says.
#[test]
fn random_rules_are_obeyed_as_the_model_says() {
    let (mut across, mut refused, mut total) = (0, 0, 0);
    for seed in 0..SEEDS {
        let dice = Dice::from_seed(seed);
        let world = draw_world(&dice);
        let stage = Stage::start_with(Stage::plan(), dice.size(1, 3), world.rules(), |_| ());
        let clients: Vec<_> = (0..world.people.len())
            .map(|number| stage.user(&format!("u{number}")))
            .collect();
        for (client, person) in clients.iter().zip(&world.people) {
            for (sid, pattern) in person.subscriptions.iter().enumerate() {
                client.send(&format!("SUB {pattern} {sid}\r\n"));
            }
        }
        stage.pass(MOMENT);
        let mut seen = vec![0; clients.len()];
        received(&clients, &mut seen);
        for (publisher, client) in clients.iter().enumerate() {
            for subject in subjects() {
                client.publish(&subject, 1);
                stage.pass(MOMENT);
                let (got, wanted) = (received(&clients, &mut seen), world.publish(publisher, &subject));
                assert_eq!(got, wanted, "seed {seed}, {subject} of {publisher}: {world:#?}");
                let account = world.people[publisher].account;
                total += wanted.len();
                refused += usize::from(wanted.is_empty());
                across += wanted
                    .keys()
                    .filter(|(person, ..)| world.people[*person].account != account)
                    .count();
            }
        }
    }
    // The model's own worth: enough of everything came about.
    assert!(total > 2_000, "{total} deliveries");
    assert!(across > 300, "{across} across accounts");
    assert!(refused > 500, "{refused} to nobody");
}
