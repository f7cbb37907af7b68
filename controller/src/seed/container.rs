//! A job whose tasks run in containers: from the command line to the settings, and the image or the folder that travels.

use std::path::Path;

use dayfly_shared::work::{
    ContainerSettings, ImageSource, InputKind, Placeholder, ProcessorSettings, ProgramSettings, Template,
    output_kind_of,
};

use super::program::{KERNEL, Program, archive, content, describe, kernel, shared, words_of};
use super::upload::Content;
use crate::cli::{ContainerArgs, FileArg, SeedArgs};
use crate::failure::{Failure, Result};

/// An image's archive, below the job's `files/`.
const IMAGE: &str = "container/image.tar";
/// A folder to build from.
const CONTEXT: &str = "container/context.tar";

/// The container that the command line asks for; none if it names no image.
///
/// # Errors
/// Options without an image, files that are not there, a folder without a Dockerfile.
pub fn read(args: &SeedArgs, words: &[String]) -> Result<Option<Program>> {
    let of = &args.program.container;
    if !of.has_image() {
        return match *of == ContainerArgs::default() {
            true => Ok(None),
            false => Err(Failure::usage("these options are for a container, and no image is named")
                .fix("name one: --image NAME, --image-archive FILE or --build DIR")),
        };
    }
    let argv = if words.is_empty() { Vec::new() } else { words_of(words, false)? };
    let template = Template::parse(&argv).map_err(|e| Failure::usage(e.to_string()))?;
    let mut files = shared(&args.program.files)?;
    // The seed's container finds it beside its data.
    if template.uses(&Placeholder::Kernel) || matches!(args.kernel, Some(FileArg::File(_))) {
        files.push((KERNEL.to_owned(), kernel(args)?));
    }
    let (image, travels) = image(of)?;
    if let Some((name, _)) = &travels
        && files.iter().any(|(other, _)| other == name)
    {
        return Err(Failure::usage(format!("one of --files would be called {name}, as the image is")).fix("rename it"));
    }
    let settings = ProgramSettings {
        input: if args.program.tasks.is_some() { InputKind::Line } else { InputKind::Object },
        output: match of.output_as {
            Some(leaves) => leaves.into(),
            None => output_kind_of(&argv).map_err(Failure::usage)?,
        },
        ..args.program.settings(&files)?
    };
    let processor = ProcessorSettings::Container(ContainerSettings {
        image,
        argv,
        network: of.network.map(Into::into).unwrap_or_default(),
        milli_cpus: of.task_cpus,
        gpus: of.task_gpus.clone(),
    });
    files.extend(travels);
    Ok(Some(Program { processor, settings, files }))
}

fn image(of: &ContainerArgs) -> Result<(ImageSource, Option<(String, Content)>)> {
    if let Some(file) = &of.image_archive {
        let content = content(file)?;
        return Ok((ImageSource::Archive(describe(IMAGE, &content)?), Some((IMAGE.to_owned(), content))));
    }
    if let Some(folder) = &of.build {
        check_folder(folder)?;
        // Hidden files too: .dockerignore says what is left out, and the engine heeds it.
        let content = archive(folder, true)?;
        let context = describe(CONTEXT, &content)?;
        return Ok((ImageSource::Build { context, push: of.push.clone() }, Some((CONTEXT.to_owned(), content))));
    }
    Ok((ImageSource::Name(of.image.clone().unwrap_or_default()), None))
}

fn check_folder(folder: &Path) -> Result<()> {
    match folder.join("Dockerfile").is_file() {
        true => Ok(()),
        false => Err(Failure::new(format!("there is no Dockerfile in {}", folder.display()))
            .left("nothing was written")
            .fix("--build takes the folder that docker build would take")),
    }
}
