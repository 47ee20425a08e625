//! offerd's own records: what a model would have earned under a catalog.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Args, Error, Figures};
use crate::cmd::train::source::{From, each};
use crate::control::{bind, catalog};
use crate::decide::budget::Spent;
use crate::decide::snapshot::{LiveModel, Snapshot};
use crate::domain::Millis;
use crate::domain::record::read;
use crate::learn::ope::gate::Rule;
use crate::learn::ope::{Happenings, Judge, Scope};

/// Weights are limited as they are in the gate.
const WEIGHT_MAX: f64 = 100.0;
const DECISIONS_MAX: usize = 1_000_000;

/// Asks what the policy of a model and a catalog would have earned on a log.
pub(super) fn figures(args: &Args, from: &From) -> Result<Figures, Error> {
    let snapshot = |model: &Option<PathBuf>| args.snapshot(from, model.as_deref());
    let new = snapshot(&args.model)?;
    let champion = args
        .champion
        .as_ref()
        .map(|_| snapshot(&args.champion))
        .transpose()?;
    let mut happened = Happenings::default();
    each(from, &mut |record| happened.hear(record))?;
    let scope = Scope {
        now: happened.newest,
        window_ms: args
            .window_minutes
            .map(|minutes| i64::from(minutes) * 60_000),
        completion_min: 0.5,
        weight_max: WEIGHT_MAX,
        decisions_max: DECISIONS_MAX,
    };
    let mut judge = Judge::new(&new, champion.as_ref(), happened, scope);
    each(from, &mut |record| judge.add(record))?;
    let evidence = judge.finish();
    let [rows, _] = evidence.rows();
    let verdict = Rule::default().judge(&evidence);
    if rows.is_empty() {
        return Err(Error::NoRows(Box::new(verdict.log)));
    }
    let mut figures = args.figures_of(&rows, true);
    figures.conversions = verdict.all.conversions;
    figures.short.clone_from(&verdict.short);
    figures.verdict = Some(verdict);
    Ok(figures)
}

impl Args {
    /// The policy of a model's folder, or of the offers' priors, under the catalog.
    fn snapshot(&self, from: &From, model: Option<&Path>) -> Result<Snapshot, Error> {
        let path = match (&self.catalog, from) {
            (Some(path), _) => path.clone(),
            (None, From::Data(data)) => newest_catalog(data)?,
            (None, _) => return Err(Error::NoCatalog),
        };
        let read = |path: &Path| {
            std::fs::read(path).map_err(|e| Error::Read {
                path: path.into(),
                problem: e.to_string(),
            })
        };
        let wrong = |path: &Path, problem: String| Error::Read {
            path: path.into(),
            problem,
        };
        let text = String::from_utf8(read(&path)?).map_err(|e| wrong(&path, e.to_string()))?;
        let catalog = catalog::read(&text).map_err(|m| wrong(&path, m.to_string()))?;
        let live = match model {
            None => LiveModel::prior(&catalog),
            Some(folder) => {
                let manifest = read(&folder.join("manifest.json"))?;
                let manifest =
                    String::from_utf8(manifest).map_err(|e| wrong(folder, e.to_string()))?;
                let names = ["artifact", "artifact.json", "artifact.txt", "artifact.ubj"];
                let artifact = names
                    .iter()
                    .map(|name| folder.join(name))
                    .find(|p| p.exists());
                let artifact = artifact
                    .ok_or_else(|| wrong(folder, format!("found none of {}", names.join(", "))))?;
                let model = crate::model::load(&manifest, &read(&artifact)?)
                    .map_err(|e| wrong(folder, e.to_string()))?;
                bind::bind(&model, &catalog).map_err(|e| wrong(folder, e.to_string()))?
            }
        };
        Ok(Snapshot {
            epoch: 0,
            salt: 0,
            catalog,
            model: Arc::new(live),
            canary: None,
            shadow: None,
            posterior: None,
            spent: Spent::NOTHING,
        })
    }
}

/// The catalog that a data folder's newest decision was made with.
fn newest_catalog(data: &Path) -> Result<PathBuf, Error> {
    let mut newest = (Millis(i64::MIN), String::new());
    each(&From::Data(data.into()), &mut |record| {
        #[derive(serde::Deserialize)]
        struct Decided<'a> {
            #[serde(borrow)]
            at: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            catalog: std::borrow::Cow<'a, str>,
        }
        if let Ok(decided) = read::<Decided<'_>>(record)
            && let Ok(at) = decided.at.parse::<jiff::Timestamp>()
            && Millis(at.as_millisecond()) >= newest.0
        {
            newest = (Millis(at.as_millisecond()), decided.catalog.into());
        }
    })?;
    let (_, digest) = newest;
    // A digest names a file: nothing else may.
    if digest.is_empty() || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::NoCatalog);
    }
    Ok(data.join("control").join("catalogs").join(digest))
}
