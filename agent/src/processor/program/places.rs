//! What placeholders stand for: paths as the program sees them.

use std::path::Path;

use dayfly_shared::keys::{input_file_name, output_file_name};
use dayfly_shared::work::{Placeholder, Values};

use crate::processor::TaskIo;

/// A task's folders, as its program sees them.
pub struct Places {
    /// Holds the input's file and nothing else.
    pub input: String,
    /// To be filled.
    pub output: String,
    /// The files that came with the job.
    pub files: String,
    /// What the next attempt is to find.
    pub checkpoint: String,
    /// For temporary files.
    pub scratch: String,
}

impl Places {
    /// What the placeholders of one task stand for, but for its input's file; `names` are those of the shared files.
    pub fn values<'a>(&self, task: &TaskIo, names: impl Iterator<Item = &'a str>) -> Values {
        let name = task.task.name.clone();
        let stem = Path::new(input_file_name(&name))
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let file = |name: &str| format!("{}/{name}", self.files);
        let output = format!("{}/{}", self.output, output_file_name(&name));
        let mut values: Values = [
            (Placeholder::InputDir, self.input.clone()),
            (Placeholder::Output, output),
            (Placeholder::OutputDir, self.output.clone()),
            (Placeholder::Stem, stem),
            (Placeholder::Files, self.files.clone()),
            (Placeholder::Kernel, file("kernel.dat")),
            (Placeholder::Checkpoint, self.checkpoint.clone()),
            (Placeholder::Scratch, self.scratch.clone()),
            (Placeholder::Attempt, task.attempt.to_string()),
            (Placeholder::Name, name),
        ]
        .into();
        values.extend(names.map(|name| (Placeholder::File(name.to_owned()), file(name))));
        values
    }
}
