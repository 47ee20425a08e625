//! `offerd keys`: makes API keys, and shows and rotates what signs tokens.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::serve::api_key::{self, KeyDigest, KeyKind};
use crate::serve::key_file::{self, KeysError};
use crate::serve::keys::Keys;

/// Make API keys; list and rotate the keys that sign tokens.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make an API key and print it with the setting that makes it known to the server.
    #[command(after_help = "Example: offerd keys new publishable --origin https://shop.example")]
    New {
        /// Who will hold it: a server, a page or app, or an operator.
        kind: Kind,
        /// Where the pages that use a publishable key come from; without any, it is an app's key.
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
    },
    /// Let a new key sign tokens from the next start on; the one before still verifies.
    #[command(after_help = "Example: offerd keys rotate --data ./data")]
    Rotate(Data),
    /// Show the ids of the keys that sign and verify tokens.
    #[command(after_help = "Example: offerd keys list --data ./data")]
    List(Data),
}

/// Which server.
#[derive(Debug, Args)]
struct Data {
    /// The server's data folder.
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Secret,
    Publishable,
    Admin,
}

impl From<Kind> for KeyKind {
    fn from(kind: Kind) -> KeyKind {
        match kind {
            Kind::Secret => KeyKind::Secret,
            Kind::Publishable => KeyKind::Publishable,
            Kind::Admin => KeyKind::Admin,
        }
    }
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysCommandError {
    /// The keys of the data folder.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The terminal or pipe.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// `--origin` is for publishable keys.
    #[error("--origin goes with publishable keys only")]
    Origin,
}

/// Runs `offerd keys …`, writing to `out`.
///
/// # Errors
///
/// See [`KeysCommandError`].
pub fn run(args: &KeysArgs, out: &mut impl Write) -> Result<(), KeysCommandError> {
    match &args.command {
        KeysCommand::New { kind, origins } => new((*kind).into(), origins, args.json, out),
        KeysCommand::Rotate(data) => {
            key_file::rotate(&data.data)?;
            list(data, args.json, out)
        }
        KeysCommand::List(data) => list(data, args.json, out),
    }
}

fn new(
    kind: KeyKind,
    origins: &[String],
    json: bool,
    out: &mut impl Write,
) -> Result<(), KeysCommandError> {
    if kind != KeyKind::Publishable && !origins.is_empty() {
        return Err(KeysCommandError::Origin);
    }
    let key = api_key::generate(kind).ok_or(KeysError::Random)?;
    let digest = KeyDigest::of(&key);
    if json {
        let made = json!({
            "kind": kind.as_str(), "key": key, "digest": digest.to_string(), "origins": origins,
        });
        writeln!(out, "{made}")?;
        return Ok(());
    }
    writeln!(out, "{key}\n")?;
    writeln!(
        out,
        "Hand it over now: it is kept nowhere. For the server's configuration:\n"
    )?;
    match kind {
        KeyKind::Secret => writeln!(out, "[auth]\nsecret_keys = [\"{digest}\"]")?,
        KeyKind::Admin => writeln!(out, "[auth]\nadmin_keys = [\"{digest}\"]")?,
        // A list of origins is written alike in JSON and in TOML.
        KeyKind::Publishable => writeln!(
            out,
            "[[auth.publishable_keys]]\ndigest = \"{digest}\"\norigins = {}",
            json!(origins)
        )?,
    }
    Ok(())
}

fn list(data: &Data, json: bool, out: &mut impl Write) -> Result<(), KeysCommandError> {
    let kids = Keys::load(&data.data)?.kids();
    if json {
        writeln!(out, "{}", json!({ "signs": kids[0], "verifies": kids }))?;
        return Ok(());
    }
    for (i, kid) in kids.iter().enumerate() {
        let does = if i == 0 {
            "signs and verifies"
        } else {
            "verifies"
        };
        writeln!(out, "key {kid}  {does}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::auth::{Auth, AuthConfig, Caller};
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        keys: KeysArgs,
    }

    fn say(args: &[&str]) -> Result<String, KeysCommandError> {
        let args = std::iter::once(&"keys").chain(args);
        let mut out = Vec::new();
        run(&Command::parse_from(args).keys, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_it_prints_is_what_the_server_takes() {
        #[derive(serde::Deserialize)]
        struct File {
            auth: AuthConfig,
        }
        for (args, origin, expected) in [
            (vec!["new", "secret"], None, Caller::Secret),
            (vec!["new", "publishable"], None, Caller::Publishable),
            (
                vec!["new", "publishable", "--origin", "https://shop.example"],
                Some("https://shop.example"),
                Caller::Publishable,
            ),
        ] {
            let said = say(&args).unwrap();
            let key = said.lines().next().unwrap();
            let file: File = toml::from_str(&said[said.find('[').unwrap()..]).unwrap();
            let mut headers = http::HeaderMap::new();
            headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
            if let Some(origin) = origin {
                headers.insert("origin", origin.parse().unwrap());
            }
            let auth = Auth::new(file.auth).unwrap();
            assert_eq!(auth.caller(&headers), Ok(expected), "{said}");
        }
    }

    #[test]
    fn rotating_keeps_the_key_before() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_str().unwrap();
        assert!(
            say(&["list", "--data", path]).is_err(),
            "there are no keys yet"
        );
        Keys::load_or_create(data.path()).unwrap();
        assert_eq!(
            say(&["list", "--data", path]).unwrap(),
            "key 0  signs and verifies\n"
        );
        let said = say(&["rotate", "--data", path]).unwrap();
        assert_eq!(said, "key 1  signs and verifies\nkey 0  verifies\n");
        let said = say(&["list", "--data", path, "--json"]).unwrap();
        assert_eq!(said, "{\"signs\":1,\"verifies\":[1,0]}\n");
    }

    #[test]
    fn origins_are_for_pages() {
        let error = say(&["new", "secret", "--origin", "https://shop.example"]).unwrap_err();
        assert!(matches!(error, KeysCommandError::Origin));
    }
}
