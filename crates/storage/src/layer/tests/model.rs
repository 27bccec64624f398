//! Layers of random entries against a map to which the same is done: what a mount of them shows must be the map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Base, MountOptions, RootFs};

/// Where things may be: few names, so that entries meet.
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Op {
    Directory(Vec<usize>),
    File(Vec<usize>, u8),
    Symlink(Vec<usize>, &'static str),
    HardLink(Vec<usize>, Vec<usize>),
    Whiteout(Vec<usize>),
    Opaque(Vec<usize>),
}

impl Op {
    /// Where it makes something.
    fn places(&self) -> impl Iterator<Item = &Vec<usize>> {
        match self {
            Op::Directory(place) | Op::File(place, _) | Op::Symlink(place, _) => vec![place],
            Op::HardLink(place, target) => vec![place, target],
            Op::Whiteout(_) | Op::Opaque(_) => vec![],
        }
        .into_iter()
    }
}

/// The merged view: path → what [`tree`] says of it. Parents of an entry are in it too.
type Map = BTreeMap<String, String>;

fn path(parts: &[usize]) -> String {
    parts.iter().map(|n| NAMES[*n]).collect::<Vec<_>>().join("/")
}

fn op() -> impl Strategy<Value = Op> {
    let place = || prop::collection::vec(0..NAMES.len(), 1..4);
    prop_oneof![
        3 => place().prop_map(Op::Directory),
        4 => (place(), 0u8..4).prop_map(|(place, n)| Op::File(place, n)),
        1 => (place(), prop::sample::select(vec!["x", "/no/where", "../y"]))
            .prop_map(|(place, target)| Op::Symlink(place, target)),
        1 => (place(), place()).prop_map(|(place, target)| Op::HardLink(place, target)),
        2 => place().prop_map(Op::Whiteout),
        1 => prop::collection::vec(0..NAMES.len(), 0..3).prop_map(Op::Opaque),
    ]
}

fn layer() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..8)
}

fn below(map: &Map, dir: &str) -> Vec<String> {
    let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
    map.keys().filter(|key| key.starts_with(&prefix)).cloned().collect()
}

fn drop_tree(map: &mut Map, place: &str) {
    map.remove(place);
    for key in below(map, place) {
        map.remove(&key);
    }
}

/// Parents appear as directories. False: one of them is something else, and the archive is refused.
fn add_parents(map: &mut Map, place: &str) -> bool {
    for (at, _) in place.match_indices('/') {
        match map.get(&place[..at]).map(String::as_str) {
            None => drop(map.insert(place[..at].to_owned(), "d".into())),
            Some("d") => {}
            Some(_) => return false,
        }
    }
    true
}

/// What the archive's entries are, and the map after them; `None` where the layer must be refused, or where the model
/// does not say what happens (an entry below a link or a file).
fn replay(before: &Map, ops: &[Op]) -> Option<(Entries, Map)> {
    let mut entries = Vec::new();
    // Whiteouts hide what is below this layer, whatever else it does: so they come first.
    let mut map = before.clone();
    for op in ops {
        match op {
            Op::Whiteout(place) => {
                let place = path(place);
                let parents_are_directories = place
                    .match_indices('/')
                    .all(|(at, _)| before.get(&place[..at]).is_none_or(|kind| kind == "d"));
                if !parents_are_directories {
                    return None;
                }
                drop_tree(&mut map, &place);
            }
            Op::Opaque(place) => {
                let place = path(place);
                if !place.is_empty() && before.get(&place).is_some_and(|kind| kind != "d") {
                    return None;
                }
                for key in below(&map, &place) {
                    map.remove(&key);
                }
            }
            _ => {}
        }
    }
    for (at, op) in ops.iter().enumerate() {
        // Whether an entry goes through a lower link depends on whether its removal is known by then.
        let hides = |link: &[usize]| match op {
            Op::Whiteout(place) => link.starts_with(place),
            Op::Opaque(place) => link.len() > place.len() && link.starts_with(place),
            _ => false,
        };
        let was_link =
            |place: &[usize]| before.get(&path(place)).is_some_and(|it| it.starts_with("->"));
        let earlier = ops.iter().take(at).flat_map(Op::places);
        if earlier.into_iter().any(|place| {
            (1..=place.len()).any(|end| hides(&place[..end]) && was_link(&place[..end]))
        }) {
            return None;
        }
        match op {
            Op::Directory(place) => {
                let place = path(place);
                if !add_parents(&mut map, &place) {
                    return None;
                }
                if map.get(&place).is_some_and(|kind| kind != "d") {
                    map.remove(&place);
                }
                map.insert(place.clone(), "d".into());
                entries.push(dir(&place));
            }
            Op::File(place, n) => {
                let place = path(place);
                if !add_parents(&mut map, &place) {
                    return None;
                }
                drop_tree(&mut map, &place);
                map.insert(place.clone(), format!("={n}"));
                entries.push(file(&place, &n.to_string()));
            }
            Op::Symlink(place, target) => {
                let place = path(place);
                if !add_parents(&mut map, &place) {
                    return None;
                }
                drop_tree(&mut map, &place);
                map.insert(place.clone(), format!("->{target}"));
                entries.push(link(Kind::Symlink, &place, target));
            }
            Op::HardLink(place, target) => {
                let (place, target) = (path(place), path(target));
                let content = map.get(&target).filter(|kind| *kind != "d")?.clone();
                let inside = target.starts_with(&format!("{place}/"));
                if inside || !add_parents(&mut map, &place) {
                    return None;
                }
                drop_tree(&mut map, &place);
                map.insert(place.clone(), content);
                entries.push(link(Kind::HardLink, &place, &target));
            }
            Op::Whiteout(place) => {
                let (last, parents) = place.split_last()?;
                let name = format!("{}/.wh.{}", path(parents), NAMES[*last]);
                entries.push(file(name.trim_start_matches('/'), ""));
            }
            Op::Opaque(place) => {
                let name = format!("{}/.wh..wh..opq", path(place));
                entries.push(file(name.trim_start_matches('/'), ""));
            }
        }
    }
    Some((entries, map))
}

/// Marks of one layer do not show in the mount.
fn seen(dir: &Path) -> Map {
    tree(dir).into_iter().map(|(path, text)| (path, text.replace('O', "d"))).collect()
}

fn check(layers: &[Vec<Op>]) -> std::result::Result<(), TestCaseError> {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let mut map = Map::new();
    let mut chains: Vec<ChainId> = Vec::new();
    let mut tars = Vec::new();
    for ops in layers {
        let Some((entries, after)) = replay(&map, ops) else { continue };
        tars.push(tar(&entries));
        let layer = apply(&lease, chains.last(), &entries).unwrap();
        map = after;
        chains.push(layer.chain);
        let fs = Mounted(RootFs::new(
            &store.storage,
            store.path(&format!("fs{}", chains.len())),
            Base::Layers(chains.clone()),
        ));
        let merged = fs.mount(&MountOptions::default()).unwrap();
        let found = seen(&merged);
        drop(fs);
        prop_assert_eq!(&found, &map, "layer {} of {:?}", chains.len(), layers);
    }
    // The same layers, all at once, in a store of their own.
    let other = Store::new();
    let sources: Vec<LayerSource<'_>> = tars.iter().map(|tar| source(tar)).collect();
    let made = other.storage.lease().unwrap().apply_all(&sources, &Limits::default()).unwrap();
    for (layer, chain) in made.iter().zip(&chains) {
        prop_assert_eq!(layer.chain, *chain);
        let (here, there) = (other.storage.layer_diff(chain), store.storage.layer_diff(chain));
        prop_assert_eq!(tree(&here), tree(&there));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_behave_like_a_map(layers in prop::collection::vec(layer(), 1..5)) {
        check(&layers)?;
    }
}
