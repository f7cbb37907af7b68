use std::collections::BTreeMap;

use super::*;
use crate::rng::{Dice, StdDice};

fn direct(key: &str) -> String {
    let (folders, object) = route(key);
    folders.iter().chain([&object]).flat_map(|step| &step.direct).cloned().collect::<Vec<_>>().join("/")
}

#[test]
fn plain_keys_are_their_own_paths() {
    for key in
        ["in3.dat", "out/3/x y+z.bin", "50%.dat", "a%20b", "100%25", "%", "%%", "ä/ö", "a/.dayfly", ".dayfly2", "..."]
    {
        assert_eq!(direct(key), key);
    }
}

#[test]
fn what_a_file_system_cannot_hold_is_escaped() {
    for (key, path) in [
        ("a//b", "a/%e/b"),
        ("/", "%e/%e"),
        ("../x", "%2E./x"),
        ("./.", "%2E/%2E"),
        (".dayfly/meta", "%2Edayfly/meta"),
        ("a\n\0\u{7f}", "a%0A%00%7F"),
        ("a%0A", "a%250A"),
        ("a%250A", "a%25250A"),
        ("%e", "%25e"),
        ("x%f", "x%25f"),
        ("x%d/x%+", "x%25d/x%25+"),
    ] {
        assert_eq!(direct(key), path, "{key:?}");
    }
}

/// Reads a path of names back, as a listing does.
fn read_back(path: &[String], first: bool, kind: Kind) -> Option<(String, bool)> {
    let (last, pieces) = path.split_last()?;
    for (at, piece) in pieces.iter().enumerate() {
        if !matches!(read(&pieces[..at], piece, Kind::Folder, first), Reading::Piece) {
            return None;
        }
    }
    match read(pieces, last, kind, first) {
        Reading::Component(component, alternate) => Some((component, alternate)),
        Reading::Piece | Reading::Nothing => None,
    }
}

/// Random components over an alphabet of all that is special: every one has two places of its own, and both read back.
#[test]
fn every_component_has_places_of_its_own() {
    let alphabet = ["%", "%", "2", "5", "0", "A", "E", "7F", "e", "d", "f", "+", ".", "\n", "x", "ü", ".dayfly", "25"];
    let dice = StdDice::seeded(11);
    let pick = |below: usize| usize::try_from(dice.below(below as u64)).unwrap();
    for first in [true, false] {
        let mut owner: BTreeMap<Vec<String>, String> = BTreeMap::new();
        for round in 0..5_000 {
            let mut component: String = (0..pick(7)).map(|_| alphabet[pick(alphabet.len())]).collect();
            if round % 4 == 0 {
                // Long ones, so that cuts fall into escapes and characters.
                let filler = alphabet[pick(alphabet.len())];
                component = format!("{}{component}", filler.repeat(pick(270) / filler.len()));
            }
            for kind in [Kind::Object, Kind::Folder] {
                let step = Step::new(&component, first, kind);
                for (path, alternate) in [(&step.direct, false), (&step.alternate, true)] {
                    assert_eq!(read_back(path, first, kind), Some((component.clone(), alternate)), "{path:?}");
                    for name in path {
                        assert!(name.len() <= NAME_MAX_BYTES && !["", ".", ".."].contains(&name.as_str()), "{name:?}");
                        assert!(!name.contains(['\0', '/', '\n']));
                    }
                    let other = owner.entry(path.clone()).or_insert_with(|| component.clone());
                    assert_eq!(*other, component, "{path:?} belongs to two");
                }
            }
        }
    }
}

/// Whatever a person calls a file, it is at most one object, and that object is found there.
#[test]
fn a_name_is_read_only_where_its_key_is_looked_for() {
    let alphabet = ["%", "2", "5", "0", "A", "E", "e", "d", "f", "+", ".", "x", "\n"];
    let dice = StdDice::seeded(12);
    let mut unread = 0;
    for _ in 0..20_000 {
        let name: String = (0..1 + dice.below(6)).map(|_| alphabet[usize::try_from(dice.below(13)).unwrap()]).collect();
        if name == "." || name == ".." {
            continue; // No file has these names.
        }
        match read(&[], &name, Kind::Object, true) {
            Reading::Component(component, alternate) => {
                let step = Step::new(&component, true, Kind::Object);
                assert_eq!(if alternate { step.alternate } else { step.direct }, [name]);
            }
            Reading::Piece => panic!("{name:?} is a file"),
            Reading::Nothing => unread += 1,
        }
    }
    assert!(unread > 0 && unread < 10_000, "{unread}");
}

#[test]
fn long_names_are_cut_where_characters_end() {
    let key = format!("{}/x", "ü".repeat(400));
    let (folders, _) = route(&key);
    assert_eq!(folders[0].direct.len(), 4);
    // The longest plain name stays whole; only its alternate place is cut.
    let step = Step::new(&"n".repeat(255), false, Kind::Object);
    assert_eq!((step.direct.len(), step.alternate.len()), (1, 2));
}
