//! `offerd model push|list|stage|rollback`: what operators do with model versions, from a shell or a
//! pipeline. A client of the admin port like any other.

mod client;
mod push;
mod show;

use std::path::Path;
use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};

use crate::control::registry::Stage;
use client::Client;
pub use client::{Error, Server};

/// Push, stage and look at the model versions of a running server.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Push a model: it is proven, stored, tried on recent requests, and staged.
    #[command(after_help = "Example: offerd model push models/propensity-linear --stage shadow")]
    Push {
        /// What to push.
        #[command(flatten)]
        args: push::Args,
        /// Where to.
        #[command(flatten)]
        server: Server,
    },
    /// Show every version with its stage, who pushed it and when, and what it did.
    #[command(after_help = "Example: offerd model list --json")]
    List {
        /// Where.
        #[command(flatten)]
        server: Server,
    },
    /// Put a stored version into a stage; whichever was in it is stored.
    #[command(
        after_help = "Example: offerd model stage propensity@2026-11-20.1 canary --percent 10"
    )]
    Stage {
        /// Which version: NAME@VERSION.
        #[arg(value_name = "NAME@VERSION", value_parser = version)]
        model: Version,
        /// What it should do: `live`, `canary`, `shadow` or `stored`.
        #[arg(value_parser = str::parse::<Stage>)]
        stage: Stage,
        /// Of a hundred customers, how many a canary decides for [default: as the server is configured].
        #[arg(long, value_name = "PERCENT")]
        percent: Option<f64>,
        /// Stage it although the trial on recent requests speaks against it.
        #[arg(long)]
        confirm: bool,
        /// Make it live although the log does not show that it earns as much as the live one, for this reason,
        /// which is written into the journal.
        #[arg(long, value_name = "REASON")]
        force: Option<String>,
        /// Where.
        #[command(flatten)]
        server: Server,
    },
    /// Make live what was live before, in one call.
    #[command(after_help = "Example: offerd model rollback propensity")]
    Rollback {
        /// The name of the model that is live, or of the canary.
        name: String,
        /// Where.
        #[command(flatten)]
        server: Server,
    },
}

/// A model by name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    name: String,
    version: String,
}

fn version(text: &str) -> Result<Version, String> {
    let plain = |s: &str| crate::model::is_identifier(s);
    match text.split_once('@') {
        Some((name, version)) if plain(name) && plain(version) => Ok(Version {
            name: name.into(),
            version: version.into(),
        }),
        _ => Err("expected NAME@VERSION, such as propensity@2026-11-20.1".into()),
    }
}

/// Runs the command and prints what came of it.
///
/// # Errors
/// When a file cannot be read, the server cannot be reached, or it refuses.
pub fn run(command: &Command) -> ExitCode {
    match done(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offerd: {error}");
            ExitCode::from(error.code())
        }
    }
}

/// Pushes a model's folder, as `offerd model push DIR` does; says what became of it, for people.
///
/// # Errors
/// When the server cannot be reached, or it refuses.
pub fn push_folder(dir: &Path, stage: Option<Stage>, server: &Server) -> Result<String, Error> {
    let request = push::request(&push::Args::folder(dir, stage))?;
    let waiting = format!("pushing {}", request.label);
    let client = Client::new(server)?;
    let (path, headers) = (&request.path, request.headers);
    let answer = client.call(Method::PUT, path, headers, request.body, &waiting)?;
    Ok(show::staged(&answer))
}

fn done(command: &Command) -> Result<(), Error> {
    match command {
        Command::Push { args, server } => {
            let request = push::request(args)?;
            let client = Client::new(server)?;
            let waiting = format!("pushing {}", request.label);
            let answer = client.call(
                Method::PUT,
                &request.path,
                request.headers,
                request.body,
                &waiting,
            )?;
            told(server, &answer);
        }
        Command::List { server } => {
            let client = Client::new(server)?;
            let answer = client.call(Method::GET, "/v1/models", vec![], vec![], "asking")?;
            if server.json {
                println!("{answer:#}");
            } else {
                print!("{}", show::table(&answer));
            }
        }
        Command::Stage {
            model,
            stage,
            percent,
            confirm,
            force,
            server,
        } => {
            let path = format!("/v1/models/{}/{}/stage", model.name, model.version);
            let mut body = json!({ "stage": stage.as_str(), "confirm": confirm });
            if let Some(percent) = percent {
                body["percent"] = json!(percent);
            }
            if let Some(reason) = force {
                body["force"] = json!(true);
                body["reason"] = json!(reason);
            }
            let body = body.to_string().into_bytes();
            let headers = vec![("content-type", "application/json".to_owned())];
            let client = Client::new(server)?;
            let answer = client.call(Method::POST, &path, headers, body, "staging")?;
            told(server, &answer);
        }
        Command::Rollback { name, server } => {
            if !crate::model::is_identifier(name) {
                return Err(Error::Use(format!("{name:?} is no model's name")));
            }
            let path = format!("/v1/models/{name}/rollback");
            let client = Client::new(server)?;
            let answer = client.call(Method::POST, &path, vec![], vec![], "rolling back")?;
            told(server, &answer);
        }
    }
    Ok(())
}

fn told(server: &Server, answer: &Value) {
    if server.json {
        println!("{answer:#}");
    } else {
        print!("{}", show::staged(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_name() {
        let found = version("propensity@2026-11-20.1").unwrap();
        assert_eq!(
            (&*found.name, &*found.version),
            ("propensity", "2026-11-20.1")
        );
        for bad in ["propensity", "@1", "m@", "m@../x", "M@1"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
