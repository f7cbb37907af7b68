//! Folders as one object: tar archives.

use std::fs::File;
use std::path::Path;

use super::errand::{Wanted, Watched};

/// Packs what is below `folder`. Links stay links: what they lead to may not be the task's to give away.
///
/// # Errors
/// A file that cannot be read, a disk that is full.
pub fn pack(folder: &Path, archive: &Path) -> std::io::Result<()> {
    pack_while(&Wanted::default(), folder, archive)
}

/// The same, as long as it is wanted.
///
/// # Errors
/// As [`pack`], and that it is wanted no more.
pub fn pack_while(wanted: &Wanted, folder: &Path, archive: &Path) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(Watched::new(File::create(archive)?, wanted));
    tar.follow_symlinks(false);
    tar.append_dir_all(".", folder)?;
    tar.into_inner()?.into_inner().sync_all()
}

/// Unpacks below `folder`; the library keeps every entry there. Owners are those who unpack.
///
/// # Errors
/// An archive that is none, a disk that is full.
pub fn unpack(archive: &Path, folder: &Path) -> std::io::Result<()> {
    unpack_while(&Wanted::default(), archive, folder, |_| Ok(()))
}

/// The same, as long as it is wanted, with a look at each path that was made.
///
/// # Errors
/// As [`unpack`], those of the look, and that it is wanted no more.
pub fn unpack_while(
    wanted: &Wanted,
    archive: &Path,
    folder: &Path,
    look: impl Fn(&Path) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut tar = tar::Archive::new(Watched::new(File::open(archive)?, wanted));
    tar.set_preserve_ownerships(false);
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.unpack_in(folder)? {
            look(&folder.join(entry.path()?))?;
        }
    }
    Ok(())
}
