//! How an image gets onto this machine: from a registry, from an archive that came with the job, or built from a folder.

use std::fs;
use std::path::{Path, PathBuf};

use dayfly_shared::bucket::JobBucket;
use dayfly_shared::work::{ImageSource, SharedFile};

use super::build::{Build, Lease};
use super::engine::{Engine, Kind};
use super::registry::{Login, full_name};
use crate::processor::Failure;
use crate::processor::program::{SharedFiles, Workshop};

/// Where images come from.
pub struct Source<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The job.
    pub job: &'a JobBucket,
    /// A folder of the agent's own.
    pub folder: &'a Path,
    /// The machine's part.
    pub workshop: &'a Workshop,
    /// For a build.
    pub lease: Lease,
}

impl Source<'_> {
    /// Gets the image; a name that the engine knows it by.
    ///
    /// # Errors
    /// What is missing, and the fix.
    pub async fn have(&self, image: &ImageSource) -> Result<String, Failure> {
        match image {
            ImageSource::Name(name) => self.pull(name).await,
            ImageSource::Archive(file) => {
                let archive = self.fetch(file).await?;
                let loaded = self.engine.load(&archive).await;
                self.tidy();
                loaded
            }
            ImageSource::Build { context, push } => {
                let context = SharedContext { source: self, file: context };
                let build = Build { source: self, context, push: push.as_deref() };
                let image = build.image().await;
                self.tidy();
                image
            }
        }
    }

    async fn fetch(&self, file: &SharedFile) -> Result<PathBuf, Failure> {
        let files = SharedFiles::fetch(self.job, std::slice::from_ref(file), self.folder).await?;
        Ok(files.path(&file.name))
    }

    /// The engine has its own copy of what is in an archive: ours would only fill the disk.
    fn tidy(&self) {
        let _ = fs::remove_dir_all(self.folder.join("files"));
    }

    /// A login to ECR for these images, if one is needed.
    ///
    /// # Errors
    /// ECR refuses.
    pub async fn login(&self, images: impl Iterator<Item = &str>) -> Result<Option<Login>, Failure> {
        Login::to(images, self.workshop.containers.logins.as_deref(), &self.folder.join("login")).await
    }

    /// From its registry; where that cannot be had, the one that is on this machine already.
    async fn pull(&self, name: &str) -> Result<String, Failure> {
        let whole = match self.engine.kind {
            Kind::Podman => full_name(name),
            Kind::Docker => name.to_owned(),
        };
        if whole.starts_with("localhost/") {
            return self.engine.image(&whole).await.map(|_| whole).map_err(|failure| {
                Failure::Refused(format!(
                    "the image {name} is not on this machine, and localhost/ is no registry; put it into the image that \
                     agents start from, or bring it with the job: --image-archive FILE ({failure})"
                ))
            });
        }
        let login = self.login(std::iter::once(name)).await?;
        let pulled = self.engine.tool_with(login.as_ref(), &["pull", "--quiet", &whole]).run("pulling it").await;
        let Err(failure) = pulled else { return Ok(whole) };
        for name in [&whole, &name.to_owned()] {
            if self.engine.image(name).await.is_ok() {
                tracing::warn!(image = name, %failure, "the registry was not asked; the image on this machine is taken");
                return Ok(name.clone());
            }
        }
        Err(Failure::Refused(format!(
            "the image {name} cannot be had: {failure}\ncheck its name, and that this machine reaches its registry; or \
             bring it with the job: --image-archive FILE"
        )))
    }
}

/// The folder to build from, while it is only an object.
pub struct SharedContext<'a> {
    source: &'a Source<'a>,
    file: &'a SharedFile,
}

impl SharedContext<'_> {
    /// Its SHA-256.
    pub fn sha256(&self) -> &str {
        &self.file.sha256
    }

    /// Fetches and unpacks it; the folder.
    ///
    /// # Errors
    /// A file that is not there, or is another; a disk that is full.
    pub async fn unpack(&self) -> Result<PathBuf, Failure> {
        let archive = self.source.fetch(self.file).await?;
        let folder = self.source.folder.join("files/context");
        let unpacked = fs::create_dir_all(&folder).and_then(|()| crate::processor::archive::unpack(&archive, &folder));
        unpacked.map_err(|e| Failure::Refused(format!("{} cannot be unpacked: {e}", archive.display())))?;
        Ok(folder)
    }
}
