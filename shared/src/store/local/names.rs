//! How keys read as paths, and paths as keys: one to one, and the same text wherever a file system can hold it.
//!
//! A key's components become names. Escapes start with `%`, and a `%` that would read as one is itself escaped
//! (`%25`); any other `%` stays as it is, so that a file called `50%.dat` is the object `50%.dat`.
//!
//! | in the key | on disk |
//! |---|---|
//! | control character | `%0A` and so on, in capitals |
//! | empty component, `.`, `..` | `%e`, `%2E`, `%2E.` |
//! | `.dayfly` as the first component | `%2Edayfly` |
//! | component over 255 bytes | pieces, one directory inside the other, all but the last ending in `%+` |
//! | object where a directory stands | the name with `%f` at its end |
//! | folder where a file stands | the name with `%d` at its end |

/// Where the store keeps all that is not an object; hidden from listings.
pub(super) const PRIVATE: &str = ".dayfly";
/// The longest name that Linux file systems take, in bytes (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;
/// Where a longer name is cut: leaves room for the marks.
const PIECE_BYTES: usize = 240;
/// Where it is cut if the rest would be so short that it could be `.` or `..`.
const SHORT_PIECE_BYTES: usize = 200;
const CONTINUES: &str = "%+";
const OBJECT: &str = "%f";
const FOLDER: &str = "%d";

/// What a component names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Object,
    Folder,
}

/// Where a component may stand in its parent directory: each a path of one name, or of the pieces of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where it stands unless something of the other kind is in the way.
    pub(super) direct: Vec<String>,
    /// Where it stands then. Nothing of the other kind ever has this name.
    pub(super) alternate: Vec<String>,
}

impl Step {
    fn new(component: &str, first: bool, kind: Kind) -> Self {
        let mark = if kind == Kind::Object { OBJECT } else { FOLDER };
        let name = escape(component, first);
        let direct = if name.len() <= NAME_MAX_BYTES { vec![name.clone()] } else { pieces(&name) };
        let mut alternate = if name.len() + mark.len() <= NAME_MAX_BYTES { vec![name] } else { pieces(&name) };
        if let Some(last) = alternate.last_mut() {
            last.push_str(mark);
        }
        Self { direct, alternate }
    }
}

/// The folders that lead to the object `key`, and the object.
pub(super) fn route(key: &str) -> (Vec<Step>, Step) {
    let (folders, object) = key.rsplit_once('/').map_or(("", key), |(folders, object)| (folders, object));
    (
        folder_route(&key[..key.len() - object.len()]),
        Step::new(object, folders.is_empty() && object.len() == key.len(), Kind::Object),
    )
}

/// The folders of a prefix that is empty or ends in `/`.
pub(super) fn folder_route(prefix: &str) -> Vec<Step> {
    let Some(folders) = prefix.strip_suffix('/') else { return Vec::new() };
    folders.split('/').enumerate().map(|(at, component)| Step::new(component, at == 0, Kind::Folder)).collect()
}

/// What a name found in a directory is, together with the pieces that led there from the component's own directory.
pub(super) enum Reading {
    /// A directory that holds the names that go on from here.
    Piece,
    /// A component, and whether it stands at the alternate place.
    Component(String, bool),
    /// Not the place of any key.
    Nothing,
}

/// Reads `name`, a directory or a file, found behind `pieces` (usually none).
pub(super) fn read(pieces: &[String], name: &str, kind: Kind, first: bool) -> Reading {
    if first && pieces.is_empty() && name == PRIVATE {
        return Reading::Nothing;
    }
    if pieces.is_empty() && !name.bytes().any(|byte| byte == b'%' || byte.is_ascii_control()) {
        return Reading::Component(name.to_owned(), false);
    }
    if kind == Kind::Folder && name.ends_with(CONTINUES) {
        return Reading::Piece;
    }
    let mark = if kind == Kind::Object { OBJECT } else { FOLDER };
    let mut escaped: String = pieces.iter().map(|piece| piece.strip_suffix(CONTINUES).unwrap_or(piece)).collect();
    escaped.push_str(name.strip_suffix(mark).unwrap_or(name));
    let component = unescape(&escaped);
    let step = Step::new(&component, first, kind);
    let stands_at = |path: &[String]| path.split_last().is_some_and(|(last, front)| last == name && front == pieces);
    if stands_at(&step.direct) {
        Reading::Component(component, false)
    } else if stands_at(&step.alternate) {
        Reading::Component(component, true)
    } else {
        Reading::Nothing
    }
}

fn pieces(name: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while rest.len() > PIECE_BYTES {
        let mut cut = rest.floor_char_boundary(PIECE_BYTES);
        if rest.len() - cut <= "..".len() {
            cut = rest.floor_char_boundary(SHORT_PIECE_BYTES);
        }
        pieces.push(format!("{}{CONTINUES}", &rest[..cut]));
        rest = &rest[cut..];
    }
    pieces.push(rest.to_owned());
    pieces
}

fn escape(component: &str, first: bool) -> String {
    match component {
        "" => return "%e".to_owned(),
        "." => return "%2E".to_owned(),
        ".." => return "%2E.".to_owned(),
        PRIVATE if first => return "%2Edayfly".to_owned(),
        _ => {}
    }
    let mut name = String::with_capacity(component.len());
    for (at, char) in component.char_indices() {
        if char.is_ascii_control() {
            name.push_str(&format!("%{:02X}", u32::from(char)));
        } else if char == '%' && is_escape(&component[at + 1..], at == 0) {
            name.push_str("%25");
        } else {
            name.push(char);
        }
    }
    name
}

fn unescape(name: &str) -> String {
    match name {
        "%e" => return String::new(),
        "%2E" => return ".".to_owned(),
        "%2E." => return "..".to_owned(),
        "%2Edayfly" => return PRIVATE.to_owned(),
        _ => {}
    }
    let mut component = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        component.push_str(before);
        if let Some(control) = control_code(behind) {
            component.push(control);
            rest = &behind[2..];
        } else {
            component.push('%');
            let start = at == 0 && rest.len() == name.len();
            let escaped = behind.strip_prefix("25").filter(|behind| is_escape(behind, start));
            rest = escaped.unwrap_or(behind);
            // What stands behind an escaped `%` is text: take it as it is, up to the next one.
        }
    }
    component.push_str(rest);
    component
}

/// Whether a `%` before `behind` would read as an escape (or as an escaped `%`).
fn is_escape(behind: &str, start: bool) -> bool {
    control_code(behind).is_some()
        || matches!(behind, "+" | "d" | "f")
        || (start && matches!(behind, "e" | "2E" | "2E." | "2Edayfly"))
        || behind.strip_prefix("25").is_some_and(|behind| is_escape(behind, start))
}

/// The control character that two capital hexadecimal digits name.
fn control_code(digits: &str) -> Option<char> {
    let digits = digits.get(..2)?;
    if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii_control).map(char::from)
}

#[cfg(test)]
#[path = "names_test.rs"]
mod tests;
