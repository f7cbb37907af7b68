//! Settings in files: a project's `dayfly.toml`, beside the data, and named profiles in the user's folder. Neither holds
//! secrets: credentials come from where the AWS tools take them.

use std::io;
use std::path::{Path, PathBuf};

use dayfly_shared::job::Location;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// A project's file.
const FILE: &str = "dayfly.toml";

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// As `JOB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Location>,
    /// As `--local`; where it is relative, from the file's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<PathBuf>,
    /// As `--endpoint-url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// As `--region`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// As `--profile`: a profile of `~/.aws/config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The file.
    #[serde(skip)]
    pub from: String,
}

/// Files in order of their rank, and what was not chosen among.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The project's file, then the profile.
    pub all: Vec<Layer>,
    /// Profiles, where there are several and none was named.
    pub unused: Vec<String>,
}

impl Layers {
    /// Reads the project's file, which is `dayfly.toml` in this folder or the nearest one above, and the profile: the one
    /// named, or the only one.
    ///
    /// # Errors
    /// A file that is not what it should be, a profile that is not there.
    pub fn read(named: Option<&str>) -> Result<Self> {
        let mut layers = Self::default();
        if let Some(file) = project() {
            layers.all.extend(read(&file)?);
        }
        match (named, profiles()?.as_slice()) {
            (Some(name), known) => {
                let file = profile_file(name)?;
                let Some(layer) = read(&file)? else {
                    let failure = Failure::usage(format!("there is no profile '{name}' ({})", file.display()));
                    return Err(match known {
                        [] => failure.fix("make one: dayfly config save NAME"),
                        some => failure.fix(format!("there are: {}", some.join(", "))),
                    });
                };
                layers.all.push(layer);
            }
            (None, [only]) => layers.all.extend(read(&profile_file(only)?)?),
            (None, several) => layers.unused = several.to_vec(),
        }
        Ok(layers)
    }

    /// What they say together. A file that names a folder has no use for a lower one's service, nor the other way round.
    pub fn merged(&self) -> Layer {
        let mut sum = Layer::default();
        for layer in &self.all {
            let served = sum.endpoint_url.is_some() || sum.region.is_some() || sum.profile.is_some();
            let folder = sum.local.is_some();
            let unless = |taken: bool, value: &Option<String>| value.clone().filter(|_| !taken);
            sum = Layer {
                job: sum.job.or_else(|| layer.job.clone()),
                local: sum.local.or_else(|| layer.local.clone().filter(|_| !served)),
                endpoint_url: sum.endpoint_url.or_else(|| unless(folder, &layer.endpoint_url)),
                region: sum.region.or_else(|| unless(folder, &layer.region)),
                profile: sum.profile.or_else(|| unless(folder, &layer.profile)),
                from: String::new(),
            };
        }
        sum
    }

    /// The first that says it, and which file that is.
    pub fn find(&self, pick: fn(&Layer) -> Option<String>) -> Option<(String, String)> {
        // Only what counts: a lower file's service is passed over where a higher one names a folder.
        let counts = pick(&self.merged())?;
        let layer = self.all.iter().find(|layer| pick(layer).as_ref() == Some(&counts))?;
        Some((counts, layer.from.clone()))
    }
}

/// The nearest project file; the search ends where the user's own folder does.
fn project() -> Option<PathBuf> {
    // A folder that was removed under somebody's feet has no file.
    let Ok(here) = std::env::current_dir() else { return None };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for folder in here.ancestors() {
        let file = folder.join(FILE);
        if file.is_file() {
            return Some(file);
        }
        if Some(folder) == home.as_deref() {
            break;
        }
    }
    None
}

/// Where profiles are (XDG Base Directory Specification).
fn folder() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let none = || Failure::new("no place for settings: neither HOME nor XDG_CONFIG_HOME is set").fix("set one of them");
    Ok(config.ok_or_else(none)?.join("dayfly/profiles"))
}

/// The names of all profiles.
///
/// # Errors
/// A folder that cannot be read.
pub fn profiles() -> Result<Vec<String>> {
    let Ok(folder) = folder() else { return Ok(Vec::new()) };
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Failure::io("reading", &folder, &e))?,
    };
    let name = |entry: std::fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// The file of a profile.
///
/// # Errors
/// A name that is none.
fn profile_file(name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::usage(format!("'{name}' is no name for a profile")).fix("use letters, digits, - and _"));
    }
    Ok(folder()?.join(format!("{name}.toml")))
}

/// What a file says; none where there is no such file.
fn read(file: &Path) -> Result<Option<Layer>> {
    let text = match std::fs::read_to_string(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|e| Failure::io("reading", file, &e))?,
    };
    let mut layer: Layer = toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let failure = Failure::usage(format!("{}, line {line}: {}", file.display(), e.message()));
        match ["key", "secret", "token", "password"].iter().any(|word| e.message().contains(word)) {
            true => failure.fix("no secrets here: credentials come from where the AWS tools take them"),
            false => failure.fix("it may hold job, local, endpoint_url, region and profile"),
        }
    })?;
    layer.local = layer.local.map(|dir| file.parent().map_or(dir.clone(), |folder| folder.join(dir)));
    layer.from = file.display().to_string();
    Ok(Some(layer))
}

/// Keeps settings as a profile; where.
///
/// # Errors
/// A name that is none, a folder that cannot be written.
pub fn save(name: &str, layer: &Layer) -> Result<PathBuf> {
    let file = profile_file(name)?;
    let text = toml::to_string(layer).map_err(|e| Failure::new(format!("writing {}: {e}", file.display())))?;
    let failed = |e: io::Error| Failure::io("writing", &file, &e);
    std::fs::create_dir_all(folder()?).map_err(failed)?;
    let part = file.with_extension("part");
    std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &file)).map_err(failed)?;
    Ok(file)
}
