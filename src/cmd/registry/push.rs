//! A push as an HTTP request: a multipart form of manifest, artifact and, where one signs, a signature.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use ring::signature::Ed25519KeyPair;

use super::client::Error;
use crate::control::registry::{Signature, Stage, message};
use crate::model::{ARTIFACT_BYTES_MAX, MANIFEST_BYTES_MAX, Manifest};

/// What to push, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder with manifest.json and an artifact (artifact, artifact.json, artifact.txt or
    /// artifact.ubj).
    #[arg(value_name = "DIR", required_unless_present_all = ["manifest", "artifact"])]
    dir: Option<PathBuf>,
    /// The manifest, if it is not DIR's.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The artifact, if it is not DIR's.
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// The stage to enter: `live`, `canary`, `shadow` or `stored` [default: as the server is configured].
    #[arg(long, value_parser = str::parse::<Stage>)]
    stage: Option<Stage>,
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
    /// Who pushes, for the list of versions [default: the beginning of the key's digest].
    #[arg(long, value_name = "NAME", env = "OFFERD_ACTOR")]
    by: Option<String>,
    /// An Ed25519 private key (PKCS #8, DER) to sign with.
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
}

impl Args {
    /// A folder, with nothing else said.
    pub fn folder(dir: &Path, stage: Option<Stage>) -> Args {
        Args {
            dir: Some(dir.into()),
            manifest: None,
            artifact: None,
            stage,
            percent: None,
            confirm: false,
            force: None,
            by: None,
            sign: None,
        }
    }
}

/// What to send.
pub struct Sent {
    pub label: String,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Names an artifact may have in a folder, as our own commands and the trainers write them.
const ARTIFACTS: [&str; 4] = ["artifact", "artifact.json", "artifact.txt", "artifact.ubj"];

pub fn request(args: &Args) -> Result<Sent, Error> {
    let (manifest, artifact) = files(args)?;
    let manifest = read(&manifest, MANIFEST_BYTES_MAX)?;
    let artifact = read(&artifact, ARTIFACT_BYTES_MAX)?;
    let text = String::from_utf8(manifest)
        .map_err(|e| Error::Use(format!("the manifest is not UTF-8: {e}")))?;
    let known = Manifest::parse(&text).map_err(|e| Error::Use(e.to_string()))?;
    let mut parts = vec![
        ("manifest", text.clone().into_bytes()),
        ("artifact", artifact),
    ];
    if let Some(key) = &args.sign {
        let signature = sign(key, &known, &text)?;
        parts.push((
            "signature",
            serde_json::to_vec(&signature).expect("plain data"),
        ));
    }
    let boundary = boundary();
    let mut headers = vec![(
        "content-type",
        format!("multipart/form-data; boundary={boundary}"),
    )];
    if let Some(by) = &args.by {
        headers.push(("x-offerd-actor", by.clone()));
    }
    let mut query = format!("?confirm={}", args.confirm);
    if let Some(stage) = args.stage {
        query.push_str(&format!("&stage={stage}"));
    }
    if let Some(percent) = args.percent {
        query.push_str(&format!("&percent={percent}"));
    }
    if let Some(reason) = &args.force {
        query.push_str(&format!("&force=true&reason={}", in_query(reason)));
    }
    Ok(Sent {
        label: known.label(),
        path: format!("/v1/models/{}/{}{query}", known.name, known.version),
        headers,
        body: form(&boundary, &parts),
    })
}

/// A text as a value in a query (RFC 3986).
fn in_query(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    let one = |b: u8| match plain(&b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

fn files(args: &Args) -> Result<(PathBuf, PathBuf), Error> {
    let dir = args.dir.clone().unwrap_or_default();
    let manifest = args
        .manifest
        .clone()
        .unwrap_or_else(|| dir.join("manifest.json"));
    if let Some(artifact) = &args.artifact {
        return Ok((manifest, artifact.clone()));
    }
    let found: Vec<PathBuf> = ARTIFACTS
        .iter()
        .map(|name| dir.join(name))
        .filter(|path| path.exists())
        .collect();
    match &found[..] {
        [artifact] => Ok((manifest, artifact.clone())),
        [] => Err(Error::Use(format!(
            "{}: found none of {}",
            dir.display(),
            ARTIFACTS.join(", ")
        ))),
        _ => Err(Error::Use(format!(
            "{}: has several artifacts; name one with --artifact",
            dir.display()
        ))),
    }
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let failed = |e: std::io::Error| Error::Use(format!("failed to read {}: {e}", path.display()));
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > bytes_max as u64 {
        let path = path.display();
        return Err(Error::Use(format!(
            "{path}: expected at most {bytes_max} bytes, found {bytes}"
        )));
    }
    fs::read(path).map_err(failed)
}

fn sign(key: &Path, manifest: &Manifest, text: &str) -> Result<Signature, Error> {
    let bytes = read(key, 4_096)?;
    // OpenSSL writes version 1 of PKCS #8, without the public key that there is to check it with.
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes).map_err(|e| {
        let path = key.display();
        Error::Use(format!("{path}: no Ed25519 private key in PKCS #8: {e}"))
    })?;
    let created = jiff::Timestamp::now().to_string();
    let message = message(&manifest.name, &manifest.version, text, &created);
    Ok(Signature {
        signature: STANDARD.encode(pair.sign(message.as_bytes())),
        created,
    })
}

/// A line that is in no model: 128 random bits.
fn boundary() -> String {
    let mut bytes = [0_u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random numbers");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn form(boundary: &str, parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        let head =
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}
