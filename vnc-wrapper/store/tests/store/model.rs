//! Random saves, packs, deletes, undeletes, marks, thinnings-out, crashes, collections, exports and imports, of two users who
//! may trust each other or not, against a model.

use std::collections::BTreeMap;

use freezeframe_store::Store;
use proptest::prelude::*;

use super::support::{NEVER, Size, assert_version, id, quiet, save, scratch};
use super::users::{Carried, Expected, User, make_base};

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Save(u64),
    Pack(usize),
    Delete(usize),
    Undelete(usize),
    Pin(usize, bool),
    /// Time passes, in hours.
    Wait(i64),
    Gc {
        rewrite_below: f64,
        small_packs: usize,
    },
    /// Deletes what the rules do not keep.
    ThinOut {
        keep_last: Option<u32>,
        budget: Option<u64>,
    },
    /// A writer dies: what it wrote stays, and so no lock.
    Die(u64),
    Verify(usize),
    Reopen,
    /// The user begins or ends to trust the other.
    Trust(bool),
    Export {
        which: usize,
        with_base: bool,
    },
    Import(usize),
}

/// What happens, and with which of the two users.
fn actions() -> impl Strategy<Value = Vec<(usize, Action)>> {
    let some = any::<usize>();
    let action = prop_oneof![
        4 => (0..6u64).prop_map(Action::Save),
        6 => some.prop_map(Action::Pack),
        3 => some.prop_map(Action::Delete),
        1 => some.prop_map(Action::Undelete),
        1 => (some, any::<bool>()).prop_map(|(which, pin)| Action::Pin(which, pin)),
        2 => (0..30i64).prop_map(Action::Wait),
        3 => (0.0..1.1f64, 0..4usize).prop_map(|(rewrite_below, small_packs)| Action::Gc { rewrite_below, small_packs }),
        2 => (prop::option::of(1..4u32), prop::option::of(1..60_000u64))
            .prop_map(|(keep_last, budget)| Action::ThinOut { keep_last, budget }),
        1 => (0..6u64).prop_map(Action::Die),
        1 => some.prop_map(Action::Verify),
        1 => Just(Action::Reopen),
        2 => prop::bool::weighted(0.8).prop_map(Action::Trust),
        5 => (some, any::<bool>()).prop_map(|(which, with_base)| Action::Export { which, with_base }),
        5 => some.prop_map(Action::Import),
    ];
    // The first one does more.
    let who = prop_oneof![2 => Just(0), 1 => Just(1)];
    prop::collection::vec((who, action), 1..40)
}

struct World {
    users: [User; 2],
    now: i64,
    made: u64,
    files: Vec<Carried>,
}

impl World {
    fn act(&mut self, who: usize, action: &Action) {
        match *action {
            Action::Save(version) => {
                let name = format!("s{}", self.made);
                self.made += 1;
                let user = &mut self.users[who];
                save(&user.store, &id(&name), version, Size::Tiny).unwrap();
                user.model.insert(name, Expected::saved(version));
            }
            Action::Wait(hours) => self.now += hours,
            Action::Trust(trust) => {
                let key = self.users[1 - who].store.signing_key().unwrap().public();
                let user = &mut self.users[who];
                match trust {
                    true => user.store.trust_key(&key, "the other").unwrap(),
                    false => assert_eq!(user.store.distrust_key(&key).unwrap(), user.trusts_other),
                }
                user.trusts_other = trust;
            }
            Action::Export { which, with_base } => {
                if let Some(file) = self.users[who].export(which, with_base) {
                    self.files.push(file);
                }
            }
            Action::Import(which) => {
                let count = self.files.len().max(1);
                if let Some(file) = self.files.get(which % count) {
                    self.users[who].import(file);
                }
            }
            _ => self.users[who].act(action, self.now),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_is_what_the_model_says(actions in actions()) {
        let scratch = scratch();
        let user = |number: usize| User {
            number,
            store: Store::open(scratch.path().join(format!("user-{number}"))).unwrap(),
            model: BTreeMap::new(),
            has_base: number == 0,
            trusts_other: false,
        };
        let mut world = World { users: [user(0), user(1)], now: 0, made: 0, files: Vec::new() };
        make_base(&world.users[0].store);
        for (who, action) in &actions {
            world.act(*who, action);
            world.users.iter().for_each(User::check);
        }
        for user in &world.users {
            for (name, expected) in &user.model {
                assert_version(&user.store, &id(name), expected.version, Size::Tiny);
            }
            prop_assert!(user.store.verify(None, &NEVER, &quiet).unwrap().is_clean());
        }
    }
}
