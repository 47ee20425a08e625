//! Catalogs and models on disk: every version that ever served, and which ones serve now.
//!
//! Nothing is changed in place. A version is written whole beside its name and renamed; the state
//! file that names what serves is written last, so that a crash at any step leaves the old or the
//! new, never neither.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::registry::Signature;
use super::state::{ModelRef, State};
use crate::decide::snapshot::Catalog;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::{Checkpoint, Loaded};

/// The folder could not be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} {}: {cause}", path.display())]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    cause: io::Error,
}

/// A disk with folders in it.
pub trait Folder: Disk + Sync {
    /// The folder of that name, made if it is not there.
    fn folder(&self, name: &str) -> io::Result<Self>;
    /// Where it is.
    fn path(&self) -> &Path;
}

impl Folder for RealDisk {
    fn folder(&self, name: &str) -> io::Result<RealDisk> {
        RealDisk::new(&self.dir().join(name))
    }

    fn path(&self) -> &Path {
        self.dir()
    }
}

/// The folder.
pub struct Store<D: Folder = RealDisk> {
    disk: D,
    dir: PathBuf,
    state: Checkpoint<D>,
}

/// Who pushed a version, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pushed {
    /// Who said they were.
    pub by: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// What vouches for it, where signatures are asked for.
    pub signature: Option<Signature>,
}

/// Sizes and times of a version's files, to see whether they are still the ones that were read.
pub type Stamp = [Option<(u64, SystemTime)>; 2];

impl Store {
    /// Makes the folder where it is missing.
    pub fn open(dir: PathBuf) -> Result<Store, StoreError> {
        let disk = RealDisk::new(&dir).map_err(failed("create", &dir))?;
        Store::on(disk)
    }
}

impl<D: Folder> Store<D> {
    /// The store on a disk.
    pub fn on(disk: D) -> Result<Store<D>, StoreError> {
        let dir = disk.path().to_owned();
        for sub in ["catalogs", "models"] {
            disk.folder(sub).map_err(failed("create", &dir.join(sub)))?;
        }
        let state = Checkpoint::on(disk.clone(), "state");
        Ok(Store { disk, dir, state })
    }

    /// The disk it is on.
    #[cfg(test)]
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// What served last; `None` in a new folder.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file is damaged");
        match self.state.load().map_err(failed("read", &self.dir))? {
            Loaded::Value(state) => Ok(Some(state)),
            Loaded::Missing => Ok(None),
            // A fresh salt and epoch would make old records unreplayable without anybody noticing.
            Loaded::Damaged => Err(failed("read the state in", &self.dir)(damaged())),
        }
    }

    /// Remembers what serves.
    pub fn save(&self, state: &State) -> Result<(), StoreError> {
        self.state
            .save(state)
            .map_err(failed("write the state in", &self.dir))
    }

    /// Keeps a catalog's text under its digest.
    pub fn keep_catalog(&self, catalog: &Catalog) -> Result<(), StoreError> {
        let path = self.dir.join("catalogs").join(&catalog.digest);
        if path.exists() {
            return Ok(());
        }
        let written = self
            .disk
            .folder("catalogs")
            .and_then(|folder| write(&folder, &catalog.digest, catalog.source.as_bytes()));
        written.map_err(failed("write", &path))
    }

    /// The text of the catalog of that digest.
    pub fn catalog(&self, digest: &str) -> Result<String, StoreError> {
        let path = self.dir.join("catalogs").join(digest);
        fs::read_to_string(&path).map_err(failed("read", &path))
    }

    /// Keeps a model's files under its name and version. One that is there already stays as it is.
    pub fn keep_model(
        &self,
        model: &ModelRef,
        manifest: &[u8],
        artifact: &[u8],
        pushed: &Pushed,
    ) -> Result<(), super::ControlError> {
        if let Ok((old_manifest, old_artifact)) = self.model(model) {
            return if old_manifest.as_bytes() == manifest && old_artifact == artifact {
                Ok(())
            } else {
                Err(super::ControlError::VersionTaken(model.to_string()))
            };
        }
        let pushed = serde_json::to_vec(pushed).expect("plain data serializes");
        let keep = || {
            let names = self.disk.folder("models")?.folder(&model.name)?;
            let folder = names.folder(&model.version)?;
            write(&folder, "artifact", artifact)?;
            write(&folder, "pushed.json", &pushed)?;
            // Last: a folder without a manifest is no version.
            write(&folder, "manifest.json", manifest)?;
            names.sync_dir()
        };
        Ok(keep().map_err(failed("write", &self.model_dir(model)))?)
    }

    /// Who pushed a version; nobody where that is not known.
    pub fn pushed(&self, model: &ModelRef) -> Pushed {
        let text = fs::read(self.model_dir(model).join("pushed.json"));
        let read = text
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        read.unwrap_or_default()
    }

    /// Whether a version is stored.
    pub fn has_model(&self, model: &ModelRef) -> bool {
        self.model_dir(model).join("manifest.json").exists()
    }

    /// Sizes and times of a stored version's files.
    pub fn stamp(&self, model: &ModelRef) -> Stamp {
        let dir = self.model_dir(model);
        ["manifest.json", "artifact"].map(|name| {
            let found = fs::metadata(dir.join(name)).ok()?;
            Some((found.len(), found.modified().ok()?))
        })
    }

    /// Deletes a stored version.
    pub fn forget_model(&self, model: &ModelRef) -> Result<(), StoreError> {
        let dir = self.model_dir(model);
        let forget = || {
            let names = self.disk.folder("models")?.folder(&model.name)?;
            let folder = names.folder(&model.version)?;
            // First: a folder without a manifest is no version, whatever else is left in it.
            folder.remove("manifest.json")?;
            folder.sync_dir()?;
            folder.remove("pushed.json")?;
            folder.remove("artifact")
        };
        forget().map_err(failed("delete", &dir))?;
        // One that is not empty takes a few bytes and is in nobody's way.
        let _ = fs::remove_dir(&dir);
        Ok(())
    }

    /// The manifest and the artifact of a stored version.
    pub fn model(&self, model: &ModelRef) -> Result<(String, Vec<u8>), StoreError> {
        let dir = self.model_dir(model);
        let (manifest, artifact) = (dir.join("manifest.json"), dir.join("artifact"));
        let text = fs::read_to_string(&manifest).map_err(failed("read", &manifest))?;
        Ok((
            text,
            fs::read(&artifact).map_err(failed("read", &artifact))?,
        ))
    }

    /// Every stored version, sorted.
    pub fn models(&self) -> Result<Vec<ModelRef>, StoreError> {
        let mut list = Vec::new();
        let root = self.dir.join("models");
        for name in names(&root)? {
            for version in names(&root.join(&name))? {
                if root
                    .join(&name)
                    .join(&version)
                    .join("manifest.json")
                    .exists()
                {
                    list.push(ModelRef {
                        name: name.clone(),
                        version,
                    });
                }
            }
        }
        Ok(list)
    }

    /// Names and versions were checked by the manifest's pattern: no separator, no leading dot.
    fn model_dir(&self, model: &ModelRef) -> PathBuf {
        self.dir
            .join("models")
            .join(&model.name)
            .join(&model.version)
    }
}

/// The folder's entries by name, sorted; names that are not UTF-8 are none of ours.
fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = fs::read_dir(dir).map_err(failed("list", dir))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Writes a file whole or not at all, and durably.
fn write<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{name}.tmp");
    let file = disk.create(&unfinished)?;
    disk.write_at(&file, 0, bytes)?;
    disk.sync(&file)?;
    disk.rename(&unfinished, name)?;
    disk.sync_dir()
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |cause| StoreError { what, path, cause }
}
