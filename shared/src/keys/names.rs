//! What tasks and their outputs may be called, below the places where they lie.

use crate::ids::Attempt;
use crate::job::{JobSettings, Location};
use crate::work::{InputKind, OutputKind, ProcessorSettings};

/// S3's limit on a key, in UTF-8 bytes (S3 user guide, "Naming Amazon S3 objects").
pub const KEY_MAX: usize = 1024;

/// The longest name of a file, in bytes, on the file systems that agents work on (`NAME_MAX` of limits.h(0p) on Linux).
pub const FILE_NAME_MAX: usize = 255;

/// Names of a job's own objects, directly under its prefix. Folders end with `/`.
const OWN: [&str; 23] = [
    "job.json",
    "control.json",
    "summary.json",
    "store.json",
    "launches.json",
    "tasklist.txt",
    "completed.txt",
    "failed.txt",
    "plan/",
    "semaphores/",
    "results/",
    "failed/",
    "standby/",
    "agents/",
    "logs/",
    "scratch/",
    "checkpoints/",
    "files/",
    "launches/",
    "wheels/",
    "images/",
    "notified/",
    // A deployment's, where a job lies at its very place.
    "dayfly/",
];

/// Whether `name`, directly under a job's prefix, is one of the job's own objects.
pub fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| if own.ends_with('/') { name.starts_with(own) } else { name == *own })
}

/// The name of the output of the input `name`, below the outputs' location: `out3.dat` for `in3.dat`, else `out/<name>`.
/// Two inputs never share one.
pub fn output_name(name: &str) -> String {
    match name.strip_prefix("in").and_then(|rest| rest.strip_suffix(".dat")) {
        Some(middle) if !middle.contains('/') => format!("out{middle}.dat"),
        _ => format!("out/{name}"),
    }
}

/// The name of the file that a program finds the input `name` in: it goes by the extension.
pub fn input_file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// The name of the file in which a program leaves the output of the input `name`.
pub fn output_file_name(name: &str) -> String {
    input_file_name(&output_name(name)).to_owned()
}

/// Why no file of a program's can be called like the task, in words that fit after "the line … cannot be a task: ".
fn problem_with_files(name: &str, settings: &JobSettings) -> Option<String> {
    if matches!(settings.processor, ProcessorSettings::Xor { .. }) {
        return None;
    }
    let program = &settings.program;
    let input = (program.input == InputKind::Object).then(|| ("input", input_file_name(name).len()));
    let output = (program.output == OutputKind::File).then(|| ("output", output_file_name(name).len()));
    let (what, bytes) =
        [input, output].into_iter().flatten().find(|(_, bytes)| !(1..=FILE_NAME_MAX).contains(bytes))?;
    Some(match bytes {
        0 => format!("it ends with '/', so the file of its {what} would have no name"),
        _ => format!(
            "the last part of its name is too long: the file of its {what} would have a name of {bytes} bytes, and a \
             disk takes {FILE_NAME_MAX}"
        ),
    })
}

/// The name of the manifest that commits the folder of outputs of the task `name`, below the outputs' location.
pub fn manifest_name(name: &str) -> String {
    format!("out/{name}/manifest.json")
}

/// The name of a file of an attempt's folder of outputs, below the outputs' location.
pub fn attempt_file_name(name: &str, attempt: Attempt, path: &str) -> String {
    format!("out/{name}/{attempt}/{path}")
}

/// Whether `name` looks like an output's name: where inputs and outputs share a place, such a name can be no input.
pub fn is_output_name(name: &str) -> bool {
    let flat = name.strip_prefix("out").and_then(|rest| rest.strip_suffix(".dat")).is_some_and(|m| !m.contains('/'));
    flat || name.starts_with("out/")
}

/// Why a line cannot be a task of a job, in words that fit after "the line … cannot be a task: ".
pub fn problem_with(name: &str, settings: &JobSettings, job: &Location) -> Option<String> {
    if name.contains('\u{fffd}') {
        return Some("it is not valid UTF-8".to_owned());
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return Some(format!("it holds the control character U+{:04X}", u32::from(c)));
    }
    if name.starts_with('/') {
        return Some("it begins with '/'; names are relative to the inputs' place".to_owned());
    }
    if name.split('/').any(|part| part == ".." || part == ".") {
        return Some("it has a '.' or '..' component".to_owned());
    }
    let (inputs, outputs) = (settings.inputs(job), settings.outputs(job));
    let longest = match settings.program.input {
        InputKind::Object => inputs.key(name).len(),
        InputKind::Line => 0,
    };
    let longest = longest.max(outputs.key(&settings.commit_name(name)).len());
    if longest > KEY_MAX {
        return Some(format!("its key would have {longest} bytes, and S3 allows {KEY_MAX}"));
    }
    if let Some(problem) = problem_with_files(name, settings) {
        return Some(problem);
    }
    // A line that names no object can be called like one.
    if settings.program.input == InputKind::Line {
        return None;
    }
    if inputs == job && is_own(name) {
        return Some("it is the name of one of the job's own objects".to_owned());
    }
    if inputs == job && settings.processor.kernel() == Some(name) {
        return Some("it is the job's kernel".to_owned());
    }
    if inputs == outputs && is_output_name(name) {
        return Some("it is the name of an output; inputs of that name need a place of their own".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Location {
        "s3://bucket/job".parse().unwrap()
    }

    #[test]
    fn outputs_have_names_of_their_own() {
        assert_eq!(output_name("in3.dat"), "out3.dat");
        assert_eq!(output_name("inner.dat"), "outner.dat");
        assert_eq!(output_name("a/in3.dat"), "out/a/in3.dat");
        assert_eq!(output_name("in/x.dat"), "out/in/x.dat");
        assert_eq!(output_name("photo.jpg"), "out/photo.jpg");
        for name in ["in3.dat", "a b+c%.txt", "in/x.dat", "x"] {
            assert!(is_output_name(&output_name(name)), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_a_task_says_why() {
        let settings = JobSettings::default();
        for (name, word) in [
            ("../x", "'..'"),
            ("a/../x", "'..'"),
            ("/x", "begins with '/'"),
            ("a\u{7}b", "U+0007"),
            ("tasklist.txt", "own objects"),
            ("plan/0001.txt", "own objects"),
            ("dayfly/deployment.json", "own objects"),
            ("kernel.dat", "kernel"),
            ("out3.dat", "output"),
            ("a\u{fffd}", "UTF-8"),
        ] {
            let why = problem_with(name, &settings, &job()).unwrap_or_default();
            assert!(why.contains(word), "{name}: {why}");
        }
        assert!(problem_with(&"x".repeat(1100), &settings, &job()).unwrap().contains("1024"));
        for name in ["in3.dat", "a b", "ü+%", "a..b", "planet.txt", &"n".repeat(1000)] {
            assert_eq!(problem_with(name, &settings, &job()), None, "{name}");
        }
        let elsewhere = JobSettings { inputs: Some("s3://other/".parse().unwrap()), ..settings };
        assert_eq!(problem_with("tasklist.txt", &elsewhere, &job()), None);
        assert_eq!(problem_with("out3.dat", &elsewhere, &job()), None);
    }

    #[test]
    fn what_no_file_can_be_called_like_is_no_task_of_a_program() {
        let command = ProcessorSettings::Command { argv: vec!["true".to_owned()], shell: false };
        let with = |input, output| {
            let mut settings = JobSettings { processor: command.clone(), ..JobSettings::default() };
            settings.program.input = input;
            settings.program.output = output;
            settings
        };
        let long = format!("a/{}", "ü".repeat(128));
        let longer_out = format!("in{}.dat", "n".repeat(249));
        use {InputKind::*, OutputKind::*};
        for (input, output, name, wanted) in [
            (Object, Stdout, "sub/", "input would have no name"),
            (Object, Folder, &long, "input would have a name of 256 bytes"),
            (Object, Stdout, &longer_out, ""),
            (Object, File, &longer_out, "output would have a name of 256 bytes"),
            (Line, File, "--rate 1/", "output would have no name"),
            (Line, Stdout, "--rate 1/", ""),
            (Line, Folder, &long, ""),
            (Object, File, &long[1..long.len() - 2], "begins with '/'"),
            (Object, File, &long[2..long.len() - 2], ""),
        ] {
            let why = problem_with(name, &with(input, output), &job()).unwrap_or_default();
            assert!(why.contains(wanted) && why.is_empty() == wanted.is_empty(), "{name}: {why}");
        }
        assert_eq!(problem_with("sub/", &JobSettings::default(), &job()), None, "xor makes no files");
    }
}
